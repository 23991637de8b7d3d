"""What the doctor makes of kernels, limits and clocks that the machine of the tests has not."""

import resource

import pytest

from control import check
from control.clock import Reading
from control.devices import Device, XdpFeatures
from control.doctor import clock, drivers, kernel, memory, routing, tunnels
from control.doctor.finding import Finding, of_check
from control.doctor.interfaces import modes, mtu, offloads, queues
from control.doctor.kernel import Version
from control.doctor.router import Router
from control.ethtool import Channels, Feature
from control.settings import Settings
from control.sizes import Sizes

ROOM = Sizes.room_for(65_536, 65_536, 4_096)
MIB = 1 << 20
SECOND = 10**9
NATIVE = XdpFeatures(native=True, multi_buffer=True, offload=False)
NOT_NATIVE = XdpFeatures(native=False, multi_buffer=False, offload=False)


def device(name: str = "eth0", *, index: int = 2, **more: object) -> Device:
    values: dict[str, object] = {"kind": None, "mtu": 1500, "ethernet": True, "up": True}
    values |= {"carrier": True, **more}
    return Device(index=index, name=name, **values)  # type: ignore[arg-type]


def router(
    *devices: Device,
    release: Version = (6, 18),
    xdp: dict[int, XdpFeatures] | None = None,
    interfaces: tuple[str, ...] = ("eth0",),
) -> Router:
    return Router(
        settings=Settings(router="edge-1", interfaces=interfaces),
        configured=True,
        candidates=(),
        policy=None,
        privileged=True,
        memlock=65536,
        kernel=release,
        devices=devices,
        xdp=xdp,
    )


@pytest.mark.parametrize(
    ("release", "level", "said"),
    [
        ("4.19.0-27-amd64", "error", "older than 5.10"),
        ("5.4.0", "error", "older than 5.10"),
        ("5.10.0-33-amd64", "note", "without a coarse clock"),
        ("5.15.0-119-generic", "note", "without XDP on frames of several buffers"),
        ("6.1.0-41-amd64", "note", "without drivers that say which XDP they have"),
        ("6.12.57+deb12-amd64", "ok", "coarse clock"),
        ("7.3", "ok", "coarse clock"),
        ("next", "warning", "not understood"),
    ],
)
def test_kernel_versions(release: str, level: str, said: str) -> None:
    found = kernel.version(release)
    assert (found.level, said in found.found) == (level, True), found


def test_what_a_kernel_has_is_not_missing_from_it() -> None:
    assert "coarse" not in kernel.version("5.15.0").found
    assert "several buffers" not in kernel.version("6.1.0").found


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (kernel.architecture("aarch64"), "ok"),
        (kernel.architecture("riscv64"), "error"),
        (kernel.jit(0), "warning"),
        (kernel.jit(1), "ok"),
        (kernel.jit(2), "warning"),
        (kernel.jit(None), "note"),
        (*kernel.hardening(2, 2), "warning"),
        (*kernel.hardening(1, 2), "ok"),
        (*kernel.hardening(0, 2), "ok"),
        (*kernel.hardening(0, 0), "note"),
        (*kernel.unprivileged_bpf(0), "warning"),
        (*kernel.unprivileged_bpf(2), "ok"),
    ],
)
def test_settings_of_bpf(found: Finding, level: str) -> None:
    assert found.level == level, found
    assert bool(found.mend) is (level != "ok"), found


def test_settings_that_cannot_be_seen_are_passed_over() -> None:
    assert list(kernel.hardening(None, None)) == []
    assert list(kernel.unprivileged_bpf(None)) == []


@pytest.mark.parametrize(
    ("free", "is_there", "level"),
    [
        (170 * MIB, False, "warning"),
        (64 * MIB, True, "ok"),
        (300 * MIB, False, "note"),
        (4096 * MIB, False, "ok"),
    ],
)
def test_memory(free: int, is_there: bool, level: str) -> None:
    assert memory.available(ROOM.bytes(2), free, is_there).level == level


def test_counters_are_there_for_each_cpu() -> None:
    assert ROOM.bytes(128) - ROOM.bytes(1) == 127 * (4097 * 256 + 1025 * 32)


def test_memory_is_read_from_the_kernels_text() -> None:
    text = "MemTotal:       32780000 kB\nMemAvailable:   22995968 kB\n"
    assert memory.meminfo(text) == 22995968 * 1024


@pytest.mark.parametrize(
    ("limit", "release", "privileged", "levels"),
    [
        (65536, (5, 11), False, []),
        (65536, (5, 10), False, ["warning"]),
        (65536, (5, 10), True, ["ok"]),
        (resource.RLIM_INFINITY, (5, 10), False, ["ok"]),
    ],
)
def test_locked_memory(limit: int, release: Version, privileged: bool, levels: list[str]) -> None:
    found = memory.locked(ROOM.bytes(2), limit, release, privileged)
    assert [each.level for each in found] == levels


@pytest.mark.parametrize(
    ("message", "privileged", "level"),
    [
        ("/etc/peergate/token: the token cannot be read: Permission denied", False, "note"),
        ("/etc/peergate/token: the token cannot be read: Permission denied", True, "error"),
        ("program 7: not opened; run as root", False, "note"),
        ("token_file is not set", False, "error"),
    ],
)
def test_what_is_kept_from_the_unprivileged_is_no_defect(
    message: str, privileged: bool, level: str
) -> None:
    found = of_check(check.Finding("error", message), "registry", privileged)
    assert (found.level, found.found) == (level, message)


def test_filesystems() -> None:
    assert memory.filesystem_is_known("nodev\tsysfs\nnodev\tbpf\n\text4\n", "bpf")
    assert not memory.filesystem_is_known("nodev\tsysfs\n\text4\n", "bpf")


def test_clocks() -> None:
    assert clock.synchronised(Reading(0, 0, True)).level == "ok"
    assert clock.synchronised(Reading(0, 0, False)).level == "warning"
    assert list(clock.behind(Reading(100 * SECOND, 0, False), floor=40 * SECOND)) == []
    (late,) = clock.behind(Reading(100 * SECOND, 0, False), floor=160 * SECOND)
    assert (late.level, "60 s behind" in late.found) == ("warning", True)
    (wrong,) = clock.behind(Reading(100 * SECOND, 0, True), floor=160 * SECOND)
    assert "said to be synchronised" in wrong.found


def test_offsets_against_the_registry() -> None:
    assert clock.offset(1.5).level == "ok"
    assert "10 s behind the registry's" in clock.offset(10).found
    assert "10 s ahead of the registry's" in clock.offset(-10).found
    assert clock.offset(-10).level == "warning"


@pytest.mark.parametrize(("release", "level"), [((5, 10), "warning"), ((5, 13), "ok")])
def test_a_driver_has_native_xdp_since_some_kernel(release: Version, level: str) -> None:
    found = modes(router(device(), release=release), device(), "igc")
    assert (found.level, "native from Linux 5.13 on" in found.found) == (level, level != "ok")


@pytest.mark.parametrize(
    ("driver", "xdp", "level", "said"),
    [
        ("ice", {2: NATIVE}, "ok", "native, multi-buffer, generic (the kernel's word)"),
        ("bridge", {2: NOT_NATIVE}, "warning", "driver bridge: generic (the kernel's word)"),
        ("ice", None, "ok", "native, generic (known drivers)"),
        ("nfp", None, "ok", "native, offload, generic"),
        ("tg3", None, "warning", "not known"),
        ("ice", {}, "ok", "known drivers"),
    ],
)
def test_xdp_modes(driver: str, xdp: dict[int, XdpFeatures] | None, level: str, said: str) -> None:
    found = modes(router(device(), xdp=xdp), device(), driver)
    assert (found.level, said in found.found) == (level, True), found


@pytest.mark.parametrize(
    ("size", "driver", "release", "xdp", "level"),
    [
        (1500, "ice", (5, 10), None, "ok"),
        (3046, "ice", (5, 10), None, "ok"),
        (3047, "ice", (5, 10), None, "warning"),
        (9000, "virtio_net", (5, 10), None, "warning"),
        (4064, "virtio_net", (6, 1), None, "warning"),
        (4065, "virtio_net", (6, 1), None, "warning"),
        (9000, "mlx5_core", (5, 15), None, "warning"),
        (9000, "mlx5_core", (6, 1), None, "warning"),
        (9000, "bnxt_en", (6, 1), None, "ok"),
        (2000, "igc", (6, 1), None, "warning"),
        (9000, "ena", (6, 1), None, "warning"),
        (9000, "virtio_net", (6, 12), {2: NATIVE}, "ok"),
        (9000, "ena", (6, 12), {2: XdpFeatures(True, False, False)}, "warning"),
    ],
)
def test_mtu(
    size: int, driver: str, release: Version, xdp: dict[int, XdpFeatures] | None, level: str
) -> None:
    jumbo = device(mtu=size)
    found = mtu(router(jumbo, release=release, xdp=xdp), jumbo, driver)
    assert found.level == level, found
    if level == "warning":
        assert f"ip link set eth0 mtu {drivers.single_buffer_mtu(driver)}" in found.mend


def channels(used: int, most: int) -> Channels:
    return Channels(rx=0, tx=0, combined=used, max_rx=0, max_tx=0, max_combined=most)


@pytest.mark.parametrize(
    ("driver", "release", "found", "level"),
    [
        ("ice", (6, 1), channels(1, 64), "note"),
        ("ice", (6, 1), channels(64, 64), "ok"),
        ("virtio_net", (5, 10), channels(1, 1), "note"),
        ("virtio_net", (6, 1), channels(1, 1), "ok"),
        ("ena", (6, 1), channels(8, 8), "error"),
        ("veth", (6, 1), None, "ok"),
    ],
)
def test_queues(
    driver: str,
    release: Version,
    found: Channels | None,
    level: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (said,) = queues(device(), driver, router(device(), release=release), found)
    assert said.level == level, said


def test_offloads() -> None:
    on = {"rx-lro": Feature(on=True, changeable=True), "rx-gro-hw": Feature(False, True)}
    (lro,) = offloads("eth0", on)
    assert (lro.level, lro.mend) == ("note", "ethtool -K eth0 lro off")
    (fixed,) = offloads("eth0", {"rx-gro-hw": Feature(on=True, changeable=False)})
    assert "fixed" in fixed.found
    (tags,) = offloads("eth0", {"rx-vlan-hw-parse": Feature(on=True, changeable=True)})
    assert tags.level == "ok"


def test_guest_offloads_that_stay_on() -> None:
    """As sysfs shows them: a digit a bit, the lowest first."""
    fixed = "11000101101110110000000000000100100000000000000000000000000000000"
    assert drivers.fixed_guest_offloads(fixed) == ("checksum", "TSO4", "TSO6", "UFO")
    assert drivers.fixed_guest_offloads("111" + fixed[3:]) == ()
    assert drivers.fixed_guest_offloads("10000100") == ()


@pytest.mark.parametrize("kind", sorted(tunnels.KINDS))
@pytest.mark.parametrize(("up", "level"), [(True, "warning"), (False, "note")])
def test_tunnels_that_end_here(kind: str, up: bool, level: str) -> None:
    end = device("tunnel0", index=9, kind=kind, up=up)
    (found,) = tunnels.tunnel(router(device(), end), end)
    assert (found.level, found.subject) == (level, "tunnel0")


def test_a_tunnel_that_the_program_sits_on_is_no_way_past_it() -> None:
    inside = device("vxlan0", index=9, kind="vxlan")
    assert list(tunnels.tunnel(router(inside, interfaces=("vxlan0",)), inside)) == []
    bare = device("gre0", index=9, kind="gre", ethernet=False)
    assert list(tunnels.tunnel(router(bare, interfaces=("gre0",)), bare)) != []


def test_three_vlan_tags_are_one_too_many() -> None:
    stack = [device("eth0", index=1)]
    stack += [device(f"v{n}", index=n, kind="vlan", lower=n - 1) for n in (2, 3, 4)]
    edge = router(*stack, interfaces=("eth0",))
    assert [len(list(tunnels.tunnel(edge, each))) for each in stack] == [0, 0, 0, 1]
    assert list(tunnels.tunnel(router(*stack, interfaces=("v2",)), stack[3])) == []


def test_labels_and_associations() -> None:
    assert list(tunnels.mpls(0, ["eth0"])) == []
    assert list(tunnels.mpls(1024, [])) == []
    (labelled,) = tunnels.mpls(1024, ["eth0"])
    assert labelled.mend.startswith("sysctl -w net.mpls.conf.eth0.input=0")
    assert list(tunnels.ipsec(0)) == list(tunnels.ipsec(None)) == []
    (associations,) = tunnels.ipsec(2)
    assert associations.level == "warning"


def test_source_routes_are_accepted_where_both_settings_say_so() -> None:
    assert routing.accepts({"all": 1, "eth0": 1, "eth1": 0, "default": 1}) == ("eth0",)
    assert routing.accepts({"all": 0, "eth0": 1}) == ()
    assert routing.accepts({"all": -1, "eth0": 1}) == ()


def test_what_passes_a_configured_interface_is_guarded() -> None:
    eth0, eth1 = device("eth0", index=1), device("eth1", index=2)
    tagged = device("eth0.7", index=3, kind="vlan", lower=1)
    assert router(eth0, eth1, tagged).is_guarded(tagged)
    assert not router(eth0, eth1, tagged).is_guarded(eth1)


def test_a_bundle_is_guarded_where_all_its_members_are() -> None:
    members = [device(f"eth{n}", index=n + 1, master=9) for n in range(2)]
    bond = device("bond0", index=9, kind="bond")
    tagged = device("bond0.7", index=10, kind="vlan", lower=9)
    half = router(*members, bond, tagged, interfaces=("eth0",))
    assert not half.is_guarded(bond)
    whole = router(*members, bond, tagged, interfaces=("eth0", "eth1"))
    assert whole.is_guarded(bond)
    assert whole.is_guarded(tagged)
    assert not router(device("bond0", index=9, kind="bond"), interfaces=("eth0",)).is_guarded(bond)
