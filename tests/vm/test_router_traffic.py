"""Traffic through the virtual router: what is registered passes, on every queue of its card."""

import re
import socket
from collections.abc import Iterator

import pytest

from lab.netns import Namespace
from lab.ping import ping
from lab.topology import BRANCH, BYSTANDER, BYSTANDER_V6, GATEWAY, GATEWAY_V6, STRANGER
from lab.traffic import transfer
from lab.watch import Watch, wait_until
from tests.control.edge import PORT, gateway
from tests.vm.kernels import kernel
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS

BULK = 5201
FLOWS, PACKETS = 48, 4
ALL = FLOWS * PACKETS


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(series, marks=pytest.mark.xdist_group(f"router-{series}"))
        for series in ("6.1", "7")
    ],
)
def router(request: pytest.FixtureRequest) -> Iterator[Router]:
    with Router(kernel(request.param), f"traffic-{request.param}") as made:
        made.write_policy(gateways=[gateway(services=["wireguard", f"tcp/{BULK}"])])
        made.start_agent()
        # Every hop knows its neighbour: of a burst it would queue but a few packets.
        for host, address in (("branch", GATEWAY), ("stranger", BYSTANDER)):
            assert ping(made.net.hosts[host], address, 10, wait=10).received
        yield made


pytestmark = pytest.mark.timeout(600)


def send_flows(host: Namespace, to: str, port: int) -> None:
    """Datagrams from many ports: a card with queues spreads them."""
    for _ in range(FLOWS):
        with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(PACKETS):
                out.sendto(b"tunnel", (to, port))


def by_queue(router: Router) -> dict[int, int]:
    """What the driver gave to XDP, by queue."""
    said = router.run("ethtool -S uplink")
    return {int(q): int(n) for q, n in re.findall(r"rx_?(?:queue_)?(\d+)_xdp_packets: (\d+)", said)}


def test_datagrams_of_many_flows(router: Router) -> None:
    """Only the branch's arrive; every one is counted, on whichever queue it came."""
    hosts = router.net.hosts
    before = router.counters()
    with Watch(hosts["gateway"], "eth0") as gate, Watch(hosts["bystander"], "eth0") as others:
        send_flows(hosts["branch"], GATEWAY, PORT)
        send_flows(hosts["stranger"], GATEWAY, PORT)
        send_flows(hosts["stranger"], BYSTANDER, PORT)
        came = wait_until(lambda: gate.count(BRANCH, port=PORT) >= ALL, SECONDS)
        assert came, router.counters()  # which says why, where the machine is gone
        came = wait_until(lambda: others.count(STRANGER, port=PORT) >= ALL, SECONDS)
        assert came, router.counters()

        def dropped() -> int:
            return router.counters()["unregistered_drop"] - before["unregistered_drop"]

        assert wait_until(lambda: dropped() >= ALL, SECONDS, 0.2)
        assert gate.count(STRANGER, port=PORT) == 0
    after = router.counters()
    more = {name: after[name] - before[name] for name in after}
    assert more["registered_pass"] == more["unregistered_drop"] == ALL
    assert more["bystander_pass"] >= ALL
    assert len([count for count in by_queue(router).values() if count]) >= 3


def test_the_counters_add_up_to_what_the_card_received(router: Router) -> None:
    send_flows(router.net.hosts["branch"], GATEWAY, PORT)
    queues, counted = dict[int, int](), dict[str, int]()

    def equal() -> bool:
        queues.update(by_queue(router))
        counted.update(router.counters())
        return sum(queues.values()) == sum(counted.values()) > 0

    assert wait_until(equal, SECONDS), (queues, counted)


def test_bulk_over_tcp(router: Router) -> None:
    hosts = router.net.hosts
    size = 4 << 20
    for sender, receiver, to in (
        ("branch", "gateway", GATEWAY),
        ("stranger", "bystander", BYSTANDER),
    ):
        assert transfer(hosts[sender], hosts[receiver], to, BULK, size, SECONDS) == size
    before = router.counters()["unregistered_drop"]
    with hosts["stranger"].socket(socket.AF_INET, socket.SOCK_STREAM) as out:
        out.settimeout(2)
        with pytest.raises(TimeoutError):
            out.connect((GATEWAY, BULK))
    assert wait_until(lambda: router.counters()["unregistered_drop"] > before, SECONDS, 0.2)


@pytest.mark.parametrize("address", [GATEWAY, GATEWAY_V6, BYSTANDER, BYSTANDER_V6])
def test_a_strangers_echo_requests_are_untouched(router: Router, address: str) -> None:
    assert ping(router.net.hosts["stranger"], address, wait=5).received > 0
