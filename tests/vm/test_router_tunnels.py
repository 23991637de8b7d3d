"""Real tunnels through the virtual router: kernel WireGuard, and strongSwan with kernel ESP.

Gateway and peers are network namespaces of the virtual machine, each with a card of its own: their
packets leave the machine, are routed by this one's namespaces, and come back on the uplink.
"""

import socket
from collections.abc import Iterator

import pytest

from lab.topology import BRANCH, STRANGER
from lab.watch import Watch, wait_until
from tests.control.edge import gateway, peer
from tests.vm.kernels import kernel
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS
from tests.vm.router_net import TAP
from tests.vm.router_tunnels import StrongSwan, WireGuard, echoes

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("router-tunnels")]

HUB = gateway(services=["wireguard", "ipsec"])


@pytest.fixture(scope="module")
def machine() -> Iterator[Router]:
    with Router(kernel("6.1"), "tunnels", in_guest=("branch", "stranger", "gateway")) as made:
        close(made)
        made.start_agent()
        yield made


@pytest.fixture
def router(machine: Router) -> Router:
    """Closed to everybody that there is."""
    close(machine)
    return machine


def close(router: Router) -> None:
    router.write_policy([peer("another", "203.0.113.99")], [HUB])


def register(router: Router) -> None:
    router.write_policy([peer("branch", BRANCH)], [HUB])


def is_cut_off(router: Router) -> bool:
    """One echo that takes its time is no proof."""
    return not any(echoes(router, "branch", 1, 1) for _ in range(3))


def test_kernel_wireguard(router: Router) -> None:
    """Closed; open once registered; dead once revoked. A stranger with a good key stays out."""
    wireguard = WireGuard(router)
    wireguard.start()
    try:
        drops = router.counters()["unregistered_drop"]
        assert wait_until(lambda: router.counters()["unregistered_drop"] >= drops + 4, SECONDS, 0.5)
        assert not wireguard.has_met("branch")

        register(router)
        assert wait_until(lambda: wireguard.has_met("branch"), SECONDS, 0.5)
        assert wait_until(lambda: echoes(router, "branch"), SECONDS)
        assert router.counters()["registered_pass"] > 0
        assert not wireguard.has_met("stranger")

        close(router)
        assert wait_until(lambda: is_cut_off(router), SECONDS)
        assert not echoes(router, "branch", wait=2)
    finally:
        wireguard.stop()


def test_strongswan_with_kernel_esp(router: Router) -> None:
    """The same, with protocol 50: IKE and ESP are judged each for itself."""
    strongswan = StrongSwan(router)
    try:
        strongswan.start()
        assert not strongswan.initiate("branch", 6)
        assert not strongswan.initiate("stranger", 6)

        register(router)
        with Watch(router.net.inside, TAP) as passed:
            assert wait_until(lambda: strongswan.initiate("branch", 20), SECONDS, 0.5), (
                strongswan.log("branch")
            )
            before = router.counters()["registered_pass"]
            assert wait_until(lambda: echoes(router, "branch", 5), SECONDS)
            assert router.counters()["registered_pass"] >= before + 5
            assert passed.count(BRANCH, socket.IPPROTO_ESP) >= 5
            assert not strongswan.initiate("stranger", 6)
            assert passed.count(STRANGER, socket.IPPROTO_UDP) == 0

            close(router)
            assert wait_until(lambda: is_cut_off(router), SECONDS)
            esp = passed.count(BRANCH, socket.IPPROTO_ESP)
            assert not echoes(router, "branch", wait=2)
            assert passed.count(BRANCH, socket.IPPROTO_ESP) == esp
    finally:
        strongswan.stop()
