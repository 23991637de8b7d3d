"""The program on its interfaces: as asked for, never over somebody else's, back when it went."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from control import links, syscalls
from lab.netns import veth
from lab.topology import UPLINK
from lab.watch import wait_until
from tests.control.edge import SECONDS, Edge

PASS_EVERYTHING = bytes.fromhex("b7000000020000009500000000000000")


@contextmanager
def foreign_program(edge: Edge, name: str = "somebody") -> Iterator[int]:
    """A descriptor of a program that is not ours."""
    fd = syscalls.load_xdp(PASS_EVERYTHING, name)
    try:
        yield fd
    finally:
        os.close(fd)


def put(edge: Edge, fd: int, flags: int, interface: str = UPLINK) -> None:
    """Attach by force, as an unfriendly tool does."""
    attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    with edge.net.router.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname=interface)
        netlink.link("set", index=index, xdp={"attrs": attrs})


@pytest.mark.parametrize("attach", ["native", "generic"])
def test_attached_as_asked_for_and_judging(edge: Edge, attach: str) -> None:
    edge.configure(attach=attach)
    edge.write_policy()
    edge.start()
    assert [mode for mode, _ in edge.attachment().programs] == [attach]
    assert edge.lets_in(branch=True)
    assert edge.counter("registered_pass").packets > 0
    assert edge.counter("unregistered_drop").packets > 0


def test_the_other_attach_after_a_restart(edge: Edge) -> None:
    edge.write_policy()
    edge.start().end()
    edge.configure(attach="generic")
    edge.start().end()
    assert [mode for mode, _ in edge.attachment().programs] == ["generic"]
    edge.configure(attach="native")
    edge.start()
    assert [mode for mode, _ in edge.attachment().programs] == ["native"]
    assert edge.lets_in(branch=True)


def test_two_uplinks(edge: Edge) -> None:
    veth(edge.net.router, "uplink2", edge.net.internet, "router2")
    edge.configure(interfaces=[UPLINK, "uplink2"])
    edge.write_policy()
    edge.start()
    assert wait_until(lambda: edge.program("uplink2") is not None, SECONDS)
    assert edge.program(UPLINK) == edge.program("uplink2")


def test_a_foreign_program_is_refused_with_id_and_name(edge: Edge) -> None:
    edge.write_policy()
    with foreign_program(edge) as fd:
        put(edge, fd, links.MODE_FLAG["native"])
        foreign = links.program_id(fd)
        agent = edge.start(waits=False)
        assert agent.exit_status() == 1
        assert agent.said(f"uplink: somebody else's XDP program .* id {foreign}, name somebody")
        assert "Traceback" not in agent.log
        assert edge.program() == foreign


def test_a_foreign_program_on_one_of_two_uplinks_keeps_its_place(edge: Edge) -> None:
    veth(edge.net.router, "uplink2", edge.net.internet, "router2")
    edge.configure(interfaces=[UPLINK, "uplink2"])
    edge.write_policy()
    with foreign_program(edge) as fd:
        put(edge, fd, links.MODE_FLAG["native"], "uplink2")
        agent = edge.start()
        agent.wait_for("uplink2: somebody else's")
        assert edge.program("uplink2") == links.program_id(fd)
        put(edge, links.DETACH, links.MODE_FLAG["native"], "uplink2")
        assert wait_until(lambda: edge.program("uplink2") == edge.program(UPLINK), SECONDS)


def test_native_refused_by_the_driver_is_no_fall_back(edge: Edge) -> None:
    with edge.net.router.netlink() as netlink:
        netlink.link("add", ifname="bridge0", kind="bridge")
    edge.configure(interfaces=["bridge0"])
    edge.write_policy()
    agent = edge.start(waits=False)
    assert agent.exit_status() == 1
    assert agent.said(r"bridge0: driver bridge refuses native attach \(E.*attach = .generic")
    assert agent.said("the kernel says: Underlying driver does not support XDP in native mode")
    assert "Traceback" not in agent.log
    assert edge.attachment("bridge0").programs == ()


def test_native_refused_where_generic_was_leaves_the_generic_one(edge: Edge) -> None:
    with edge.net.router.netlink() as netlink:
        netlink.link("add", ifname="bridge0", kind="bridge")
    edge.configure(interfaces=["bridge0"], attach="generic")
    edge.write_policy()
    edge.start().end()
    before = edge.attachment("bridge0").program("generic")
    assert before is not None
    edge.configure(interfaces=["bridge0"], attach="native")
    assert edge.start(waits=False).exit_status() == 1
    assert edge.attachment("bridge0").programs == (("generic", before),)


def test_a_missing_interface_is_one_line_and_waited_for(edge: Edge) -> None:
    """At boot a driver may be late: then the maps are full, and the program only to be attached."""
    edge.configure(interfaces=["uplink9"], verify_every=3600)
    edge.write_policy()
    agent = edge.start(waits=False)
    agent.wait_for("uplink9: there is no such interface")
    assert "Traceback" not in agent.log
    veth(edge.net.router, "uplink9", edge.net.internet, "router9")
    assert wait_until(lambda: edge.program("uplink9") is not None, SECONDS)
    assert agent.end() == 0


def test_an_interface_that_comes_back_gets_the_program(edge: Edge) -> None:
    edge.configure(verify_every=3600)
    edge.write_policy()
    agent = edge.start()
    router, internet = edge.net.router, edge.net.internet
    router.delete(UPLINK)
    agent.wait_for("uplink: there is no such interface")
    veth(router, UPLINK, internet, "router")
    assert wait_until(lambda: edge.program() is not None, SECONDS)
    internet.add_address("router", "192.0.2.1/30")
    router.add_address(UPLINK, "192.0.2.2/30")
    internet.add_route("198.51.100.0/24", "192.0.2.2")
    router.add_route("0.0.0.0/0", "192.0.2.1")
    assert edge.lets_in(branch=True)


def rename(edge: Edge, name: str, new: str) -> None:
    """Links keep their addresses meanwhile, and lose their routes."""
    router = edge.net.router
    router.down(name)
    router.rename(name, new)
    router.up(new)
    router.add_route("0.0.0.0/0", "192.0.2.1")


def test_a_renamed_interface_keeps_the_program_and_is_named_once(edge: Edge) -> None:
    edge.configure(verify_every=3600)
    edge.write_policy()
    agent = edge.start()
    ours = edge.program()
    said = f"uplink: there is no such interface, but wan0 carries our program {ours} and is not"
    rename(edge, UPLINK, "wan0")
    agent.wait_for(said)
    assert edge.program("wan0") == ours
    assert edge.lets_in(branch=True)
    put(edge, links.DETACH, links.MODE_FLAG["native"], "wan0")  # not ours to mend under that name
    agent.wait_for("uplink: there is no such interface; see")
    rename(edge, "wan0", UPLINK)
    agent.wait_for(f"uplink: in order again: program {ours} is attached, native")
    assert edge.program() == ours
    assert edge.lets_in(branch=True)
    assert agent.log.count(said) == 1


def add_alternative_name(edge: Edge, interface: str, name: str) -> None:
    with edge.net.router.netlink() as netlink:
        netlink.link("property_add", index=edge.net.router.index(interface), altname=name)


def test_an_interface_known_by_its_alternative_name(edge: Edge) -> None:
    """Gone and back, it gets the program when it gets the name."""
    router, internet = edge.net.router, edge.net.internet
    edge.configure(verify_every=3600, interfaces=["wan"])
    add_alternative_name(edge, UPLINK, "wan")
    edge.write_policy()
    agent = edge.start()
    assert edge.program() is not None
    router.delete(UPLINK)
    agent.wait_for("wan: there is no such interface")
    veth(router, "wan7", internet, "router")
    assert edge.program("wan7") is None
    add_alternative_name(edge, "wan7", "wan")
    assert wait_until(lambda: edge.program("wan7") is not None, SECONDS)
    agent.wait_for("wan: in order again")


def test_an_alternative_name_is_not_waited_for(edge: Edge) -> None:
    """The interface is there, and nothing can be attached: that is a failure at once."""
    edge.configure(interfaces=["wan"])
    add_alternative_name(edge, UPLINK, "wan")
    edge.write_policy()
    with foreign_program(edge) as fd:
        put(edge, fd, links.MODE_FLAG["native"])
        agent = edge.start(waits=False)
        assert agent.exit_status() == 1
        assert agent.said("uplink: somebody else's XDP program")


def test_without_carrier_the_program_stays(edge: Edge) -> None:
    edge.configure(verify_every=0.2)
    edge.write_policy()
    agent = edge.start()
    ours = edge.program()
    assert edge.lets_in(branch=True)
    before = agent.log
    edge.net.internet.down("router")
    assert edge.program() == ours
    edge.net.internet.up("router")
    edge.net.internet.add_route("198.51.100.0/24", "192.0.2.2")
    assert edge.lets_in(branch=True)
    assert edge.program() == ours
    assert agent.log == before


def test_a_detached_program_is_attached_again(edge: Edge) -> None:
    edge.configure(verify_every=3600)
    edge.write_policy()
    edge.start()
    ours = edge.program()
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    assert wait_until(lambda: edge.program() == ours, SECONDS)


def test_a_program_replaced_by_force_is_reported_and_not_clobbered(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    with foreign_program(edge, "intruder") as fd:
        put(edge, fd, links.MODE_FLAG["native"])
        agent.wait_for("uplink: somebody else's XDP program .* name intruder")
        assert edge.program() == links.program_id(fd)
        put(edge, links.DETACH, links.MODE_FLAG["native"])
    assert edge.lets_in(branch=True)


def test_a_flood_of_link_events_ends_in_the_right_state(edge: Edge) -> None:
    """More events than the socket holds: what was lost is made up for by looking."""
    edge.configure(verify_every=3600)
    edge.write_policy()
    agent = edge.start()
    ours = edge.program()
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    assert wait_until(lambda: edge.program() == ours, SECONDS)  # it listens
    agent.process.send_signal(signal.SIGSTOP)
    with edge.net.router.netlink() as netlink:
        netlink.link("add", ifname="spin", kind="ifb")
        (index,) = netlink.link_lookup(ifname="spin")
        for mtu in range(1200, 3200):
            netlink.link("set", index=index, mtu=mtu)
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    agent.process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: edge.program() == ours, SECONDS)
    assert agent.process.poll() is None
