"""What gateways offer where, and what they owe each other."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from policy.errors import Problem
from policy.prefixes import ADDRESSES_PER_ROUTER, Address
from policy.services import SERVICES_PER_ADDRESS, Service


@dataclass(frozen=True, slots=True)
class Offer:
    """One gateway's services at each of its addresses; none of either stands twice."""

    gateway: str
    hosts: tuple[Address, ...]
    services: tuple[Service, ...]


def offer_problems(offers: Iterable[Offer]) -> tuple[Problem, ...]:
    """Names and claims held twice, and the bounds per address and router."""
    names: set[str] = set()
    claims: dict[tuple[Address, Service], str] = {}
    counts: dict[Address, int] = defaultdict(int)
    problems: list[Problem] = []
    for index, offer in enumerate(offers):
        where = f"gateways[{index}]"
        if offer.gateway in names:
            problems.append(Problem(f"{where}.name", offer.gateway, "two gateways have this name"))
        names.add(offer.gateway)
        for host in offer.hosts:
            for service in offer.services:
                holder = claims.setdefault((host, service), offer.gateway)
                if holder != offer.gateway:
                    rule = f"gateway {holder} has this (address, service) already"
                    problems.append(Problem(f"{where}.services", f"{service} at {host}", rule))
            before = counts[host]
            counts[host] += len(offer.services)
            if before <= SERVICES_PER_ADDRESS < counts[host]:
                rule = f"an address has at most {SERVICES_PER_ADDRESS} services"
                problems.append(Problem(f"{where}.services", f"{counts[host]} at {host}", rule))
    if len(counts) > ADDRESSES_PER_ROUTER:
        rule = f"a router carries at most {ADDRESSES_PER_ROUTER} gateway addresses"
        problems.append(Problem("gateways", f"{len(counts)} addresses", rule))
    return tuple(problems)
