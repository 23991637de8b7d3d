"""The doctor on a router of namespaces: every warning that this kernel lets us provoke."""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from control import ethtool, links
from control.devices import devices, xdp_features
from control.doctor import agent, clock, drivers, interfaces, registry, routing, tunnels
from control.doctor.examine import Looks, examine, seen
from control.doctor.finding import Finding
from control.routes import routes
from control.state import Applied, remember_applied, save_time
from lab.netns import Namespace, veth
from lab.topology import UPLINK
from tests.control.edge import Edge
from tests.control.test_agent_attach import add_alternative_name, foreign_program, put

NATIVE = links.MODE_FLAG["native"]


def examined(edge: Edge) -> list[Finding]:
    """All that there is to say; it compiles the program."""
    edge.write_policy()
    with edge.net.router.entered():
        return list(examine(edge.settings, edge.policy_file))


def looked(edge: Edge, looks: Looks, *candidates: str) -> list[Finding]:
    """What one part of the doctor says."""
    with edge.net.router.entered():
        return list(looks(seen(edge.settings, edge.policy_file, candidates)))


def of(findings: Iterable[Finding], subject: str, *levels: str) -> str:
    """What was found of a subject at some levels, and what to do."""
    return "\n".join(
        f"{found.found} -> {found.mend}"
        for found in findings
        if found.subject == subject and (not levels or found.level in levels)
    )


def complaints(findings: Iterable[Finding]) -> set[str]:
    """Subjects of this router's that are not well; kernel and clock are the machine's."""
    machine = {"kernel", "clock", "memory", "bpf_jit_enable", "bpf_jit_harden"}
    return {
        found.subject
        for found in findings
        if found.level in ("warning", "error") and found.subject not in machine
    }


def add(edge: Edge, name: str, kind: str, **more: object) -> None:
    with edge.net.router.netlink() as netlink:
        netlink.link("add", ifname=name, kind=kind, **more)


def test_a_router_that_runs_has_no_complaint(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    findings = examined(edge)
    assert complaints(findings) == set()
    assert f"program {edge.program()} is attached, native" in of(findings, UPLINK, "ok")
    assert "up, with carrier" in of(findings, UPLINK, "ok")
    assert "carries a default route, and is covered" in of(findings, UPLINK, "ok")
    assert f"process {agent.process.pid}" in of(findings, "state", "ok")
    assert "revision 1 of file is in force" in of(findings, "agent", "ok")
    assert "1 gateways, 1 peers" in of(findings, "policy", "ok")
    assert of(findings, "tunnels", "ok")
    assert of(findings, "source routing", "ok")


def test_before_the_first_start_nothing_is_changed(edge: Edge) -> None:
    findings = examined(edge)
    assert complaints(findings) == set()
    assert "free for the program, native, driver veth" in of(findings, UPLINK, "ok")
    assert "does not run -> systemctl start" in of(findings, "agent", "note")
    assert "the agent mounts it" in of(findings, "bpffs", "ok")
    assert not edge.state_dir.exists()
    assert not edge.bpffs.exists()
    assert edge.attachment().programs == ()


def test_without_settings_the_machine_is_looked_at(edge: Edge) -> None:
    with edge.net.router.entered():
        findings = list(examine(None, candidates=(UPLINK,)))
    assert "free for the program" in of(findings, UPLINK, "ok")
    assert 'interfaces = ["uplink"]' in of(findings, UPLINK, "note")
    assert of(findings, "registry") == of(findings, "agent") == of(findings, "state") == ""


# Interfaces


def test_an_interface_that_is_not_there(edge: Edge) -> None:
    assert "there is no such interface" in of(
        looked(edge, interfaces.interfaces, "nic9"), "nic9", "error"
    )


def test_a_candidate_is_looked_at_beside_the_settings(edge: Edge) -> None:
    findings = looked(edge, interfaces.interfaces, "management")
    assert "free for the program" in of(findings, "management", "ok")
    assert "free for the program" in of(findings, UPLINK, "ok")


def test_a_foreign_program_has_its_id_and_name(edge: Edge) -> None:
    with foreign_program(edge) as fd:
        put(edge, fd, NATIVE)
        put(edge, fd, NATIVE, "management")
        program, findings = links.program_id(fd), looked(edge, interfaces.interfaces)
        others = looked(edge, routing.others)
    told = of(findings, UPLINK, "error")
    assert f"somebody else's XDP program sits there: id {program}, name somebody" in told
    assert f"id {program}, name somebody, native" in of(others, "management", "note")


def test_ours_attached_otherwise_or_elsewhere(edge: Edge) -> None:
    veth(edge.net.router, "uplink2", edge.net.internet, "router2")
    edge.configure(interfaces=[UPLINK, "uplink2"], attach="generic")
    edge.write_policy()
    edge.start().end()
    edge.configure()
    findings = looked(edge, interfaces.interfaces)
    assert "is attached generic, not native" in of(findings, UPLINK, "warning")
    assert "of ours, and the interface is not in" in of(
        looked(edge, routing.others), "uplink2", "warning"
    )
    assert "what it put into the kernel is in force" in of(
        looked(edge, agent.agent), "agent", "note"
    )


def test_links_that_carry_nothing(edge: Edge) -> None:
    edge.net.internet.down("router")
    assert "no carrier" in of(looked(edge, interfaces.interfaces), UPLINK, "warning")
    edge.net.router.down(UPLINK)
    assert "ip link set uplink up" in of(looked(edge, interfaces.interfaces), UPLINK, "warning")


def test_an_interface_without_ethernet(edge: Edge) -> None:
    edge.configure(interfaces=["lo"])
    assert "carries no Ethernet frames" in of(looked(edge, interfaces.interfaces), "lo", "error")


def test_a_driver_without_native_xdp(edge: Edge) -> None:
    add(edge, "bridge0", "bridge")
    findings = looked(edge, interfaces.interfaces, "bridge0")
    assert "driver bridge: generic" in of(findings, "bridge0", "warning")
    assert 'set attach = "generic"' in of(findings, "bridge0", "warning")
    edge.configure(attach="generic")
    assert "driver bridge" not in of(
        looked(edge, interfaces.interfaces, "bridge0"), "bridge0", "warning"
    )


def test_jumbo_frames_on_this_kernel(edge: Edge) -> None:
    """The kernel's own word on veth decides, whatever it is here."""
    edge.net.router.set_link(UPLINK, mtu=9000)
    edge.net.internet.set_link("router", mtu=9000)
    with edge.net.router.entered():
        said = xdp_features()
    takes = said is not None and said[edge.net.router.index(UPLINK)].multi_buffer
    told = of(looked(edge, interfaces.interfaces), UPLINK, "ok" if takes else "warning")
    assert "MTU 9000" in told
    edge.configure(attach="generic")
    assert "MTU" not in of(looked(edge, interfaces.interfaces), UPLINK)


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_the_limit_of_one_buffer_is_the_kernels(edge: Edge, more: int, taken: bool) -> None:
    """A veth's limit, by attaching a program that knows one buffer alone."""
    mtu = drivers.single_buffer_mtu("veth") + more
    edge.net.router.set_link(UPLINK, mtu=mtu)
    edge.net.internet.set_link("router", mtu=mtu)
    with foreign_program(edge) as fd:
        with suppress(NetlinkError):
            put(edge, fd, NATIVE)
        assert bool(edge.attachment().programs) is taken


# Ways past the program


def test_an_uplink_without_the_program_is_an_open_door(edge: Edge) -> None:
    edge.configure(interfaces=["management"])
    told = of(looked(edge, routing.uplinks), UPLINK, "warning")
    assert "an open door" in told
    assert 'interfaces = ["management", "uplink"]' in told


def test_an_uplink_may_be_configured_by_its_alternative_name(edge: Edge) -> None:
    edge.configure(interfaces=["wan"])
    add_alternative_name(edge, UPLINK, "wan")
    edge.write_policy()
    edge.start().end()
    findings = examined(edge)
    assert complaints(findings) == set()
    assert f"program {edge.program()} is attached, native" in of(findings, "wan", "ok")
    assert "up, with carrier" in of(findings, UPLINK, "ok")
    assert "is covered by `interfaces`" in of(findings, UPLINK, "ok")


def test_each_hop_of_a_default_route_is_an_uplink(edge: Edge) -> None:
    hops = [("192.0.2.1", UPLINK), ("192.0.2.129", "management")]
    with edge.net.router.netlink() as netlink:
        multipath = [
            {"gateway": via, "oif": netlink.link_lookup(ifname=link)[0]} for via, link in hops
        ]
        netlink.route("replace", dst="0.0.0.0/0", table=100, multipath=multipath)
    assert "an open door" in of(looked(edge, routing.uplinks), "management", "warning")


def test_a_default_route_over_a_configured_interface(edge: Edge) -> None:
    add(edge, "above", "macvlan", link=edge.net.router.index(UPLINK))
    edge.net.router.up("above")
    with edge.net.router.netlink() as netlink:
        index = netlink.link_lookup(ifname="above")[0]
        netlink.route("add", dst="0.0.0.0/0", table=100, oif=index)
    assert "is covered" in of(looked(edge, routing.uplinks), "above", "ok")


def test_a_default_route_into_a_tunnel_is_no_place_for_the_program(edge: Edge) -> None:
    add(edge, "vpn0", "tuntap", mode="tun")
    edge.net.router.up("vpn0")
    with edge.net.router.netlink() as netlink:
        index = netlink.link_lookup(ifname="vpn0")[0]
        netlink.route("add", dst="0.0.0.0/0", table=100, oif=index)
    findings = looked(edge, routing.uplinks)
    assert "no Ethernet" in of(findings, "vpn0", "note")
    assert of(findings, "vpn0", "warning") == ""


def test_a_full_table_stands_for_a_default_route(edge: Edge, tmp_path: Path) -> None:
    prefixes = (f"2001:db8:{n + 4096:x}::/48" for n in range(routing.FULL_TABLE))
    lines = [f"route add {each} via fe80::1 dev management\n" for each in prefixes]
    (tmp_path / "routes").write_text("".join(lines))
    for command in ("ip route del default", "ip -6 route del default"):
        edge.net.router.run(command.split(), check=True)
    edge.net.router.run(["ip", "-6", "-batch", tmp_path / "routes"], check=True)
    told = of(looked(edge, routing.uplinks), "management", "warning")
    assert "carries 1,000 routes, and is not in `interfaces`: an open door" in told


def test_no_default_route_at_all(edge: Edge) -> None:
    with edge.net.router.netlink() as netlink:
        netlink.flush_routes(family=socket.AF_INET)
        netlink.flush_routes(family=socket.AF_INET6)
    assert "there is none, nor a full table" in of(
        looked(edge, routing.uplinks), "default route", "note"
    )


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        ("ipv4", "accept_source_route"),
        ("ipv6", "seg6_enabled"),
        ("ipv6", "rpl_seg_enabled"),
    ],
)
def test_source_routing(edge: Edge, family: str, setting: str) -> None:
    edge.net.router.sysctl(f"{family}/conf/all/{setting}", 0)
    edge.net.router.sysctl(f"{family}/conf/{UPLINK}/{setting}", 1)
    assert of(looked(edge, lambda _: routing.source_routing()), setting) == ""
    edge.net.router.sysctl(f"{family}/conf/all/{setting}", 1)
    findings = looked(edge, lambda _: routing.source_routing())
    told = of(findings, setting, "warning")
    assert UPLINK in told
    assert f"sysctl -w net.{family}.conf.all.{setting}=0" in told
    assert of(findings, "source routing", "ok") == ""


def test_the_kernel_forwards_no_other_routing_header(edge: Edge) -> None:
    """What the setting for IPv6 is about ends at a mobile node's own address (ipv6_rthdr_rcv)."""
    for name in ("all", UPLINK):
        edge.net.router.sysctl(f"ipv6/conf/{name}/accept_source_route", 1)
    assert of(looked(edge, lambda _: routing.source_routing()), "source routing", "ok")


def test_segments_that_end_here(edge: Edge) -> None:
    encap = ["encap", "seg6local", "action", "End.DX4", "nh4", "198.51.100.1", "dev", "gateway"]
    edge.net.router.run(["ip", "-6", "route", "add", "2001:db8:5::1/128", *encap], check=True)
    assert "1 routes end segments" in of(
        looked(edge, lambda _: routing.source_routing()), "seg6local", "warning"
    )


# Tunnels


def test_a_tunnel_that_ends_here(edge: Edge) -> None:
    add(edge, "vxlan0", "vxlan", vxlan_id=7, vxlan_port=4789)
    findings = looked(edge, tunnels.tunnels)
    assert "its device is down" in of(findings, "vxlan0", "note")
    assert of(findings, "tunnels") == ""
    edge.net.router.up("vxlan0")
    assert "a tunnel (VXLAN) ends on this router" in of(
        looked(edge, tunnels.tunnels), "vxlan0", "warning"
    )


@pytest.mark.parametrize(("mode", "warns"), [("tun", True), ("tap", False)])
def test_the_tunnel_of_a_vpn_program(edge: Edge, mode: str, warns: bool) -> None:
    add(edge, "vpn0", "tuntap", mode=mode)
    edge.net.router.up("vpn0")
    assert ("a VPN program's" in of(looked(edge, tunnels.tunnels), "vpn0", "warning")) is warns


# State


def test_a_change_that_is_held(edge: Edge) -> None:
    edge.write_policy()
    edge.start().end()
    held = "revision 7 would remove 150 of 153 sources"
    remember_applied(edge.state_dir, Applied("file", 1, held))
    assert held in of(looked(edge, agent.agent), "agent", "warning")


def test_a_clock_behind_what_was_seen(edge: Edge) -> None:
    edge.write_policy()
    edge.start().end()
    save_time(edge.state_dir, 4_000_000_000 * 10**9)
    assert "s behind what this router last saw" in of(looked(edge, clock.clock), "clock", "warning")


def test_a_policy_with_mistakes(edge: Edge) -> None:
    edge.policy_file.write_text("gateways: [{name: hub}]")
    assert "gateways[0].services: missing" in of(looked(edge, registry.source), "policy", "error")


def test_one_thing_that_cannot_be_read_keeps_no_other_from_being_looked_at(edge: Edge) -> None:
    damaged = edge.bpffs / "0123456789abcdef"
    damaged.mkdir(parents=True)
    (damaged / "hosts").write_text("no map")
    with foreign_program(edge) as fd:
        put(edge, fd, NATIVE, "management")
        findings = examined(edge)
    assert f"cannot be looked at: {damaged}/hosts: not opened" in of(findings, "programs")
    assert of(findings, "tunnels", "ok")
    assert of(findings, "policy", "ok")


# The readers below


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with Namespace(f"{request.node.name[:20]}-{os.getpid()}") as made:
        yield made


def test_devices_are_those_of_the_callers_namespace(namespace: Namespace) -> None:
    with namespace.entered():
        assert [each.name for each in devices()] == ["lo"]
        (lo,) = devices()
        assert (lo.ethernet, lo.up, lo.carrier, lo.kind) == (False, True, True, None)
        assert routes().defaults == frozenset()


def test_offloads_and_channels_are_the_kernels(namespace: Namespace) -> None:
    """A veth takes VLAN tags off, as it may be told not to, and never merges packets itself."""
    with namespace.netlink() as netlink:
        netlink.link("add", ifname="v0", kind="veth", peer={"ifname": "v1"})
    with namespace.entered():
        features = ethtool.features("v0")
        assert features["rx-vlan-hw-parse"] == ethtool.Feature(on=True, changeable=True)
        assert features["rx-gro-hw"] == ethtool.Feature(on=False, changeable=False)
        channels = ethtool.channels("v0")
        assert channels is not None
        assert 1 <= channels.rx <= channels.max_rx
        assert channels.combined == channels.max_combined == 0
        assert ethtool.features("nic9") == {}
        assert ethtool.channels("nic9") is None
        assert ethtool.bus("nic9") is None


def test_a_table_of_many_routes_is_read_whole(namespace: Namespace, tmp_path: Path) -> None:
    """More than fits into one answer of the kernel; the default route comes last."""
    with namespace.netlink() as netlink:
        netlink.link("add", ifname="dummy", kind="ifb")
    namespace.up("dummy")
    batch = tmp_path / "routes"
    lines = [f"route add 2001:db8:{n:x}::/48 dev dummy\n" for n in range(1, 4000)]
    batch.write_text("".join([*lines, "route add default dev dummy metric 4096\n"]))
    namespace.run(["ip", "-6", "-batch", batch], check=True)
    with namespace.entered():
        assert routes().defaults == {namespace.index("dummy")}
