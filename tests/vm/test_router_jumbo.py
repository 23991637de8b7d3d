"""Jumbo frames, MTU 9,000: decided where kernel and driver take frames of several buffers, else
refused before a packet is lost.
"""

import re

import pytest

from lab.topology import GATEWAY
from lab.traffic import transfer
from tests.control.edge import gateway
from tests.vm.kernels import kernel
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS

MTU = 9000
PAYLOAD = bytes(8000)
FRAME = 14 + 20 + 8 + len(PAYLOAD)
BULK = 5201

pytestmark = pytest.mark.timeout(600)


def jumbo_router(series: str) -> Router:
    router = Router(kernel(series), f"jumbo-{series}")
    try:
        router.net.set_mtu(MTU)
        router.run(f"ip link set lan mtu {MTU}; ip link set uplink mtu {MTU}")
        router.write_policy(gateways=[gateway(services=["wireguard", f"tcp/{BULK}"])])
    except BaseException:
        router.close()
        raise
    return router


def decides_large_frames(router: Router) -> None:
    """Frames of several buffers are decided whole, and counted with all their bytes."""
    before = router.counted()
    assert router.decides(PAYLOAD)
    after = router.counted()
    for counter in ("registered_pass", "unregistered_drop"):
        (packets, size), (packets_before, size_before) = after[counter], before[counter]
        assert packets >= packets_before + 5
        assert size - size_before == (packets - packets_before) * FRAME
    hosts = router.net.hosts
    bulk = 2 << 20
    assert transfer(hosts["branch"], hosts["gateway"], GATEWAY, BULK, bulk, SECONDS) == bulk


def test_native_where_the_driver_takes_several_buffers() -> None:
    with jumbo_router("7") as router:
        router.start_agent()
        assert router.attached() == ["xdp"]
        decides_large_frames(router)


def test_refused_where_it_does_not_and_generic_works() -> None:
    with jumbo_router("6.1") as router:
        agent = router.start_agent(waits=False)
        assert agent.exit_status() == 1
        refusal = r"uplink: .*driver virtio_net .*MTU.* lower the MTU to \d+ or less.*generic"
        assert re.search(refusal, agent.log), agent.log
        assert router.attached() == []
        router.start_agent(attach="generic")
        assert router.attached() == ["xdpgeneric"]
        decides_large_frames(router)
