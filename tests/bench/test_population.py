"""Who is registered and who is not, against Python's own addresses."""

from ipaddress import ip_address, ip_network

import numpy as np
import pytest

from bench import lookup
from bench.population import Addresses, Population, covered, neighbours, populate, registered


def networks(people: Population) -> set[str]:
    rows = zip(people.addresses.packed(), people.lengths.tolist(), strict=True)
    return {str(ip_network((row.tobytes(), length))) for row, length in rows}


def naive(people: Population, sources: Addresses) -> list[bool]:
    nets = [ip_network(text) for text in networks(people)]
    hosts = [ip_address(row.tobytes()) for row in sources.packed()]
    return [any(host in net for net in nets) for host in hosts]


@pytest.mark.parametrize("family", [4, 6])
def test_nine_of_ten_are_hosts_and_all_differ(family: int) -> None:
    people = populate(family, 1000)
    assert len(networks(people)) == len(people) == 1000
    assert people.is_host.sum() == 900


@pytest.mark.parametrize("family", [4, 6])
def test_every_run_has_the_same(family: int) -> None:
    one, other = populate(family, 500), populate(family, 500)
    assert (one.addresses.packed() == other.addresses.packed()).all()
    assert (one.lengths == other.lengths).all()
    assert networks(populate(family, 500, seed=2)) != networks(one)


@pytest.mark.parametrize("family", [4, 6])
def test_covered_is_what_the_prefixes_say(family: int) -> None:
    people = populate(family, 200)
    rng = np.random.default_rng(1)
    for draw in (registered, neighbours):
        sources = draw(people, 100, rng)
        assert covered(people, sources).tolist() == naive(people, sources)
    assert all(naive(people, registered(people, 100, rng)))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("traffic", ["unregistered", "unregistered-inside"])
def test_unregistered_are_not_covered(family: int, traffic: str) -> None:
    people = populate(family, 200)
    assert not any(naive(people, lookup.draw(people, traffic, 200)))


def test_sources_inside_come_from_registered_blocks() -> None:
    people = populate(6, 200)
    blocks = {row[:4].tobytes() for row in people.addresses.packed()}
    inside = lookup.draw(people, "unregistered-inside", 200).packed()
    assert {row[:4].tobytes() for row in inside} <= blocks
