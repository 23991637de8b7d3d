"""Strangers knock at a real router: what its registry is told, and what is kept there."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control.stranger_report import load
from lab.topology import BRANCH, GATEWAY, GATEWAY_V6, REGISTRY, STRANGER, STRANGER_V6
from lab.watch import wait_until
from tests.control.edge import BRANCH_PEER, PORT, SECONDS, Edge, gateway, udp
from tests.control.registry_server import ONE, TOKEN, Registry, listen

REGISTRY_PORT = 8470


def serve(edge: Edge) -> Registry:
    made = edge.net.registry.socket(socket.AF_INET, socket.SOCK_STREAM)
    return Registry(listen(made, REGISTRY, REGISTRY_PORT))


@pytest.fixture
def registry(edge: Edge) -> Iterator[Registry]:
    token = edge.directory / "agent.token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    url = f"http://{REGISTRY}:{REGISTRY_PORT}"
    edge.configure(registry_url=url, token_file=str(token), report_every=0.5)
    with serve(edge) as made:
        made.set([BRANCH_PEER], [gateway(services=["wireguard", "gre"])])
        yield made


def knock(edge: Edge, count: int = 1) -> None:
    """Of each family so many tunnel packets of the stranger, and of the branch, over a while."""
    families = ((socket.AF_INET, GATEWAY), (socket.AF_INET6, GATEWAY_V6))
    for host in (edge.net.stranger, edge.net.branch):
        for family, there in families:
            with host.socket(family, socket.SOCK_DGRAM) as out:
                for _ in range(count):
                    out.sendto(b"tunnel", (there, PORT))


def told(registry: Registry) -> dict[tuple[str, str], dict[str, Any]]:
    """All that was told, added up by source and service."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for body in registry.strangers:
        for each in body["strangers"]:
            known = found.setdefault((each["source"], each["service"]), {**each, "packets": 0})
            known["packets"] += each["packets"]
    return found


def packets(registry: Registry) -> int:
    return sum(
        body["gateways"].get("hub", {"packets": 0})["packets"] for body in registry.strangers
    )


def counted(edge: Edge) -> int:
    """Packets of strangers."""
    return sum(
        edge.counter(f"{verdict}_{action}").packets
        for verdict in ("unregistered", "expired")
        for action in ("drop", "pass")
    )


def comes(registry: Registry, true: Callable[[], bool]) -> None:
    assert wait_until(true, SECONDS), json.dumps(registry.strangers, indent=1)


def test_who_knocks_is_told_of(edge: Edge, registry: Registry) -> None:
    edge.start(on_policy=False)
    knock(edge, 7)
    comes(registry, lambda: packets(registry) == counted(edge) > 0)
    four, six = (STRANGER, "udp/51820"), (STRANGER_V6, "udp/51820")
    assert set(told(registry)) == {four, six}
    assert sum(each["packets"] for each in told(registry).values()) == counted(edge)
    assert told(registry)[four]["packets"] == 7
    first = registry.strangers[0]
    assert (first["path"], first["registry"]) == ("/v1/routers/edge-1/strangers", ONE)
    assert first["gateways"]["hub"]["samples"] > 0
    one = first["strangers"][0]
    assert (one["gateway"], one["dropped"]) == ("hub", True)
    times = [first["since"], one["first_seen"], one["last_seen"], first["until"]]
    moments = [datetime.fromisoformat(each) for each in times]
    assert moments == sorted(moments)
    assert datetime.now(UTC) - moments[-1] < timedelta(minutes=2)
    # Each interval begins where the last one ended, and there is none without anything in it.
    before = packets(registry)
    knock(edge)
    comes(registry, lambda: packets(registry) == counted(edge) > before)
    ends = [body["until"] for body in registry.strangers]
    assert [body["since"] for body in registry.strangers[1:]] == ends[:-1]
    assert all(body["gateways"]["hub"]["packets"] for body in registry.strangers)
    assert BRANCH not in {source for source, _ in told(registry)}


def test_a_gateway_that_monitors_is_told_of_as_such(edge: Edge, registry: Registry) -> None:
    registry.set([BRANCH_PEER], [gateway("monitor")])
    edge.start(on_policy=False)
    knock(edge)
    comes(registry, lambda: packets(registry) == counted(edge) > 0)
    assert {each["dropped"] for each in told(registry).values()} == {False}


def test_whose_registration_has_ended_is_told_of_too(edge: Edge, registry: Registry) -> None:
    registry.set([BRANCH_PEER | {"valid_until": "2026-01-01T00:00:00Z"}], [gateway()])
    edge.start(on_policy=False)
    knock(edge, 3)
    comes(registry, lambda: packets(registry) == counted(edge) > 0)
    assert edge.counter("expired_drop").packets
    found = told(registry)
    for source in (BRANCH, STRANGER):
        assert (found[source, "udp/51820"]["packets"], found[source, "udp/51820"]["dropped"]) == (
            3,
            True,
        )
    assert sum(each["packets"] for each in found.values()) == counted(edge)


def test_a_flood_adds_up(edge: Edge, registry: Registry) -> None:
    """More than can be sampled: packets are counted, and shared out."""
    edge.start(on_policy=False)
    with udp(edge.net.stranger) as out:
        for _ in range(20_000):
            out.sendto(b"tunnel", (GATEWAY, PORT))
    comes(registry, lambda: packets(registry) == counted(edge) > 10_000)
    (one,) = told(registry).values()
    samples = sum(body["gateways"]["hub"]["samples"] for body in registry.strangers)
    assert samples < packets(registry)
    # All packets are this one's; the last ones may be without a sample.
    assert 0.5 < one["packets"] / packets(registry) <= 1


@pytest.mark.parametrize("status", [503, 404])
def test_what_was_not_answered_is_told_again_word_for_word(
    status: int, edge: Edge, registry: Registry
) -> None:
    registry.refuses_strangers = status
    agent = edge.start(on_policy=False)
    knock(edge, 3)
    comes(registry, lambda: len(registry.refused_strangers) > 2)
    knock(edge, 2)
    registry.refuses_strangers = 0
    comes(registry, lambda: packets(registry) == counted(edge))
    assert told(registry)[STRANGER, "udp/51820"]["packets"] == 5
    assert sum(each["packets"] for each in told(registry).values()) == counted(edge)
    # The registry may have taken it, and only its answer was lost: an interval counts once there.
    assert all(body == registry.strangers[0] for body in registry.refused_strangers)
    assert agent.said("WARNING.*who knocked was not taken") is (status == 503)


def test_whom_it_knows_stands_in_a_file_too(edge: Edge) -> None:
    edge.configure(report_every=0.3)
    edge.write_policy()
    edge.start()
    knock(edge, 3)

    def said() -> dict[str, Any]:
        return load(edge.state_dir) or {"gateways": {}, "strangers": []}

    def is_whole() -> bool:
        count = counted(edge)
        return bool(said()["gateways"] == {"hub": {"packets": count, "samples": count}})

    assert wait_until(is_whole, SECONDS), said()
    assert {each["source"] for each in said()["strangers"]} == {STRANGER, STRANGER_V6}
    assert sum(each["packets"] for each in said()["strangers"]) == counted(edge)
