"""What an agent says of strangers, and what a real registry makes of it."""

import time
from dataclasses import dataclass

import numpy as np
import pytest

from control.registry import Refused, RegistryClient
from control.samples import SAMPLE
from control.stranger_report import document
from control.strangers import Strangers
from control.weights import Total
from tests.api.bodies import gateway, report
from tests.contract.test_agent_follows_registry import Registry, registry  # noqa: F401  # a fixture

SECOND = 10**9
HUB, GONE = 3, 4


@dataclass(frozen=True, slots=True)
class Knock:
    """`number`, `protocol` and `port` as in a sample."""

    number: tuple[int, int]
    version: int
    protocol: int
    port: int
    dropped: int = 0
    gateway: int = HUB


KNOCKS = {
    ("203.0.113.9", "udp/51820"): Knock((0, 0xCB007109), 4, 17, 51820, 1),
    ("203.0.113.9", "tcp/1194"): Knock((0, 0xCB007109), 4, 6, 1194),
    ("203.0.113.9", "proto/17"): Knock((0, 0xCB007109), 4, 17, 0),  # a later fragment
    ("2001:db8:bad::66", "proto/47"): Knock((0x20010DB80BAD0000, 0x66), 6, 47, 0),
    ("::", "proto/50"): Knock((0, 0), 6, 50, 0),
}
LEFT_OUT = (
    Knock((0, 0xFFFFC0000201), 6, 17, 51820),  # ::ffff:192.0.2.1
    Knock((0, 0xCB007109), 4, 17, 51820, 0, GONE),
)


def samples(*knocks: Knock) -> np.ndarray:
    rows = np.zeros(len(knocks), SAMPLE)
    for row, knock in zip(rows, knocks, strict=True):
        row["number"], row["version"] = knock.number, knock.version
        row["protocol"], row["has_port"], row["port"] = knock.protocol, knock.port > 0, knock.port
        row["dropped"], row["gateway"] = knock.dropped, knock.gateway
    return rows


@pytest.fixture
def now(registry: Registry) -> int:  # noqa: F811
    """`edge-1` carries the gateway."""
    registry.do("POST", "/v1/gateways", gateway(services=["wireguard", "openvpn", "gre", "ipsec"]))
    held = registry.ask(RegistryClient.snapshot)
    registry.ask(lambda client: client.report("edge-1", report(held.registry, held.revision)))
    return time.time_ns()


def tell(registry: Registry, now: int, *knocks: Knock) -> None:  # noqa: F811
    strangers = Strangers()
    for _ in range(2):
        strangers.add(samples(*knocks), np.full(len(knocks), 2.5), now)
    totals = {HUB: Total(40, 14), GONE: Total(5, 2)}
    names = {HUB: "hub"}
    said = document(strangers.take(), totals, names, now - SECOND, now)
    held = registry.ask(RegistryClient.snapshot)
    body = {"registry": held.registry, **said}
    registry.ask(lambda client: client.strangers("edge-1", body))


def test_the_registry_keeps_what_is_told(registry: Registry, now: int) -> None:  # noqa: F811
    tell(registry, now, *KNOCKS.values(), *LEFT_OUT)
    kept = registry.do("GET", "/v1/strangers")["items"]
    assert {(each["source"], each["service"]): each["dropped"] for each in kept} == {
        key: bool(knock.dropped) for key, knock in KNOCKS.items()
    }
    assert {(each["gateway"], each["packets"], each["samples"]) for each in kept} == {("hub", 5, 2)}
    assert {tuple(each["routers"]) for each in kept} == {("edge-1",)}
    (day,) = registry.do("GET", "/v1/gateways/hub/strangers")["days"]
    assert (day["packets"], day["samples"]) == (40, 14)


def test_an_interval_is_taken_once(registry: Registry, now: int) -> None:  # noqa: F811
    for end in (now, now, now + SECOND):
        tell(registry, end, *KNOCKS.values())
    kept = registry.do("GET", "/v1/strangers")["items"]
    assert {each["packets"] for each in kept} == {10}


def test_what_will_never_be_taken_is_known_as_such(registry: Registry, now: int) -> None:  # noqa: F811
    with pytest.raises(Refused):
        registry.ask(lambda client: client.strangers("edge-1", {"registry": "", "since": now}))
