"""Where the driver may refuse the program: said clearly, nothing in its place; generic if asked."""

import re

import pytest

from tests.vm.kernels import kernel
from tests.vm.router import Router

pytestmark = pytest.mark.timeout(600)


def test_offloads_that_cannot_be_switched_off() -> None:
    card = "virtio-net-pci,ctrl_guest_offloads=off"
    with Router(kernel("6.1"), "refused", uplink=card) as router:
        router.write_policy()
        agent = router.start_agent(waits=False)
        assert agent.exit_status() == 1
        refusal = "uplink: driver virtio_net refuses native attach.*GRO_HW/CSUM.*ethtool -K uplink"
        assert re.search(refusal, agent.log), agent.log
        assert "Traceback" not in agent.log
        assert router.attached() == []

        router.start_agent(attach="generic")
        assert router.attached() == ["xdpgeneric"]
        assert router.decides()


def test_one_queue_on_two_cpus_is_enough() -> None:
    """Older versions of 5.10 said: "Too few free TX rings available"."""
    with Router(kernel("5.10"), "one-queue", queues=1) as router:
        router.write_policy()
        router.start_agent()
        assert router.attached() == ["xdp"]
        assert router.decides()
