"""Uplinks that go and come back: the agent attaches again by itself, and says so.

The card has as many queues as the machine has CPUs. With more, virtio_net adds some for the program
when it is attached, and the kernel (6.1 as well as 7) never lets go of a device that is removed
like that: "unregister_netdevice: waiting for uplink to become free".

How long packets passed undecided is printed: `pytest -s`, or the report of a failure, shows it.
"""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from lab.topology import STRANGER
from lab.watch import Watch, wait_until
from tests.control.edge import PORT, Flood
from tests.vm.kernels import kernel
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS, SHARED, Agent

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("router-links")]

QUEUES = 2
ATTACHED = "uplink: program [0-9]+ attached"
VIRTIO = "/sys/bus/virtio/drivers/virtio_net"
MAC = "52:54:00:00:00:00"


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Router, Agent]]:
    with Router(kernel("6.1"), "links", queues=QUEUES) as made:
        made.write_policy()
        agent = made.start_agent()
        yield made, agent


@pytest.fixture
def router(machine: tuple[Router, Agent]) -> Router:
    return machine[0]


@pytest.fixture
def agent(machine: tuple[Router, Agent]) -> Agent:
    return machine[1]


def rebind(router: Router, link: str = "uplink") -> None:
    """The driver lets go of the card and takes it again."""
    device = router.run(f"basename $(readlink /sys/class/net/{link}/device)").strip()
    router.run(f"echo {device} >{VIRTIO}/unbind; echo {device} >{VIRTIO}/bind")


def rebind_in_haste(router: Router) -> None:
    """And the link is up as soon as it has its name, before the agent can know of it."""
    rebind(router)
    router.run("ip link set eth0 name uplink; ip link set uplink up")


def reload(router: Router) -> None:
    router.run("rmmod virtio_net && modprobe virtio_net")


def replug(router: Router) -> None:
    """The card is pulled out and put back."""
    router.monitor.remove("uplink")
    assert wait_until(lambda: "uplink" not in router.run("ip -br link"), SECONDS, 0.2)
    router.monitor.add(
        driver="virtio-net-pci", id="uplink", bus="uplink-port", netdev="uplink-tap",
        mac=MAC, mq=True, vectors=2 * QUEUES + 2, romfile="",
    )  # fmt: skip
    assert wait_until(lambda: MAC in router.run("ip -br link"), SECONDS, 0.2)


@pytest.mark.parametrize(
    "away_and_back", [rebind_in_haste, reload, replug], ids=lambda f: f.__name__
)
def test_gone_and_back(
    router: Router, agent: Agent, away_and_back: Callable[[Router], None]
) -> None:
    gone = len(re.findall("uplink: there is no such interface", agent.log))
    back = len(re.findall(ATTACHED, agent.log))
    with watched(router) as told, Watch(router.net.hosts["gateway"], "eth0") as gate:
        with Flood(router.net.hosts["stranger"]) as flood:
            away_and_back(router)
            if away_and_back is not rebind_in_haste:  # there it may be back before it is missed
                agent.wait_for("uplink: there is no such interface", gone + 1)
            router.configure_links()
            agent.wait_for(ATTACHED, back + 1)
        passed = gate.count(STRANGER, port=PORT)
        assert router.attached() == ["xdp"]
        print(f"{away_and_back.__name__}: {told()}; {passed} of {flood.sent} packets passed")
    assert router.decides()


@contextmanager
def watched(router: Router) -> Iterator[Callable[[], str]]:
    """Link events by the machine's clock; gives what to say of the way back to a program.

    The kernel tells of an attachment to a link that is down only when it comes up.
    """
    log = router.machine.shared / "links.log"
    pid = router.do("start", command="ip -ts -o monitor link", log=str(SHARED / log.name))["pid"]

    def since_named() -> list[tuple[datetime, str]]:
        found = re.findall(r"^\[(\S+)\] (\d+): uplink: (<.*)$", log.read_text(), re.MULTILINE)
        new = max((int(index) for _, index, _ in found), default=0)
        return [(datetime.fromisoformat(at), words) for at, i, words in found if int(i) == new]

    def told() -> str:
        assert wait_until(lambda: " xdp/id" in str(since_named()), SECONDS, 0.2), log.read_text()
        events = since_named()
        attached = next(at for at, words in events if " xdp/id" in words)
        up = next(at for at, words in events if "LOWER_UP" in words)
        way = " ".join(f"{(at - events[0][0]).total_seconds():.3f}" for at, _ in events)
        return f"up without program {(attached - up).total_seconds():.3f} s; events at {way} s"

    try:
        yield told
    finally:
        router.do("end", pid=pid, signal=signal.SIGTERM, seconds=20)


def test_carrier_lost_and_back(router: Router, agent: Agent) -> None:
    """The program stays where it is."""
    before, carrier = of_uplink(agent), "cat /sys/class/net/uplink/carrier"
    router.monitor.set_carrier("uplink", on=False)
    assert wait_until(lambda: router.run(carrier) == "0\n", SECONDS, 0.2)
    assert router.attached() == ["xdp"]
    router.monitor.set_carrier("uplink", on=True)
    assert wait_until(lambda: router.run(carrier) == "1\n", SECONDS, 0.2)
    assert router.decides()
    assert of_uplink(agent) == before


def of_uplink(agent: Agent) -> list[str]:
    return [line for line in agent.log.splitlines() if "uplink" in line]


def test_renamed_and_back(router: Router, agent: Agent) -> None:
    """Under another name it is not what was asked for; the program stays on it, and this is said.

    With the old name as an altname it is; and then a new device that gets it is found too.
    """
    router.run("ip link set uplink down; ip link set uplink name other0; ip link set other0 up")
    agent.wait_for("uplink: there is no such interface, but other0 carries our program")
    assert " xdp " in router.run("ip -o link show other0")

    in_order = len(re.findall("uplink: in order again", agent.log))
    router.run("ip link property add dev other0 altname uplink")
    agent.wait_for("uplink: in order again", in_order + 1)
    router.configure_links(named=True)
    assert router.decides()

    back = len(re.findall(ATTACHED, agent.log))
    rebind(router, "other0")
    router.run("ip link property add dev eth0 altname uplink")
    router.configure_links(named=True)
    agent.wait_for(ATTACHED, back + 1)
    assert router.decides()

    router.run("ip link property del dev eth0 altname uplink; ip link set eth0 down")
    router.configure_links()
    assert router.decides()
