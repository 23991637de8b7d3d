"""The data plane: what goes into the maps comes out, and what cannot go in is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest

from control import headers, syscalls
from control.dataplane import DataPlane
from control.errors import DataPlaneError, MapFullError
from control.model import Difference, Entry, GatewayRow, Sizes, SourceKey, Tables, Target
from control.plan import difference, rows_in
from control.rows import number_key
from lab.watch import wait_until
from policy.prefixes import Address
from policy.services import Service
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip, udp

SIZES = Sizes(max_hosts=8, max_prefixes=8, max_gateways=4)
ROOMY = Sizes(max_hosts=20_000, max_prefixes=20_000, max_gateways=300)
HUB = IPv4Address("198.51.100.1")
ROWS = ("addresses", "gateways", "hosts", "prefixes")
WIREGUARD = Target(((Service(17, 51820), 1),))
FRAME = ether(ip("203.0.113.7", str(HUB)) / udp())


def host(number: int) -> SourceKey:
    return 1, IPv4Network(IPv4Address("203.0.113.0") + number)


def prefix(number: int) -> SourceKey:
    return 1, IPv6Network((0x20010DB8 << 96 | number << 64, 64))


def address_bytes(family: int, address: IPv4Address, rest: bytes = bytes(12)) -> bytes:
    return family.to_bytes(4, "big") + address.packed + rest


def entry(source: SourceKey, peer: int = 7) -> Entry:
    return Entry(peer, source[1].prefixlen)


def site(*sources: SourceKey) -> Tables:
    return Tables(
        gateways={1: GatewayRow("hub", 0, FOREVER_NS)},
        targets={HUB: WIREGUARD},
        entries={source: entry(source) for source in sources},
    )


def full_of_everything() -> Tables:
    """Rows of every kind, more than one batch of each kind of entry."""
    tables = site(*(host(n) for n in range(9_000)), *(prefix(n) for n in range(5_000)))
    for number in range(2, 257):
        tables.gateways[number] = GatewayRow(f"g{number}" + "x" * 50, number, 2**63 + number)
        both = (Service(17, 1000 + number), number), (Service(50), 1)
        tables.targets[HUB + number] = Target(both)
        tables.targets[ip_address(f"2001:db8::{number:x}")] = Target(both)
    tables.entries[256, IPv4Network("10.0.0.0/8")] = Entry(2**32 - 1, 8, 1, 2, ended=True)
    tables.entries[256, IPv6Network("2001:db8:ffff::/16", strict=False)] = Entry(1, 16)
    tables.entries[256, IPv6Network("2001:db8::7/128")] = Entry(3, 48, 2**63, 2**64 - 1)
    return tables


@pytest.fixture(scope="module")
def loaded() -> Iterator[DataPlane]:
    with DataPlane.offline(SIZES) as plane:
        yield plane


@pytest.fixture
def plane(loaded: DataPlane) -> DataPlane:
    """With empty maps."""
    loaded.apply(difference(loaded.tables(), Tables()))
    return loaded


def test_rows_come_out_as_they_went_in() -> None:
    with DataPlane.offline(ROOMY) as plane:
        assert plane.tables() == Tables()
        wanted = full_of_everything()
        plane.apply(Difference(wanted))
        assert plane.tables() == wanted
        fewer = site(*(host(n) for n in range(0, 9_000, 2)), prefix(1))
        plane.apply(difference(wanted, fewer))
        assert plane.tables() == fewer
        plane.apply(difference(fewer, Tables()))
        assert plane.tables() == Tables()


def test_single_calls_do_what_batches_do() -> None:
    """Kernels before 5.13 have no batches for tries."""
    with DataPlane.offline(ROOMY) as plane:
        plane.apply(Difference(full_of_everything()))
        for table in (plane._sources.hosts, plane._sources.prefixes):
            batched = {bytes(key): bytes(value) for key, value in table.items()}
            one_by_one = {bytes(key): bytes(value) for key, value in table.items_one_by_one()}
            assert one_by_one == batched
            assert len(batched) > 4096
            keys = list(batched)
            table.delete_one_by_one(keys[:5000])
            table.delete_one_by_one(keys[:1])  # gone already
            assert table.write_one_by_one([(key, batched[key]) for key in keys[:5000]]) == 5000
            assert {bytes(key): bytes(value) for key, value in table.items()} == batched


def test_deleting_what_is_not_there_is_no_error(plane: DataPlane) -> None:
    plane.apply(Difference(site(host(1), host(2), host(3))))
    gone = (host(9), host(1), host(8), host(2), host(7))
    plane.apply(Difference(Tables(), (3,), (HUB + 9,), (*gone, prefix(1))))
    assert plane.tables() == site(host(3))


@pytest.mark.parametrize(("kind", "table"), [(host, "hosts"), (prefix, "prefixes")])
def test_full_map(kind: type, table: str, plane: DataPlane) -> None:
    """The number, the limit and the setting are named; the rest is in force."""
    with pytest.raises(MapFullError) as refused:
        plane.apply(Difference(site(*(kind(n) for n in range(11)))))
    assert (refused.value.table, refused.value.limit, refused.value.wanted) == (table, 8, 11)
    assert f"max_{table}" in refused.value.message
    tables = plane.tables()
    assert len(tables.entries) == 8
    assert (tables.gateways, tables.targets) == (site().gateways, site().targets)


def test_full_map_takes_what_deleting_makes_room_for(plane: DataPlane) -> None:
    before, after = site(*map(host, range(8))), site(*map(host, range(4, 12)))
    plane.apply(Difference(before))
    plane.apply(difference(before, after))
    assert plane.tables() == after


def test_full_addresses_take_what_deleting_makes_room_for(plane: DataPlane) -> None:
    targets: dict[Address, Target] = {HUB + number: WIREGUARD for number in range(4097)}
    before, after = Tables(targets=dict(targets)), Tables(targets=targets)
    del before.targets[HUB + 4096], after.targets[HUB]
    plane.apply(difference(Tables(), before))
    plane.apply(difference(before, after))
    assert plane.tables() == after


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("addresses", b"\x07" * 20, bytes(200)),
        ("addresses", address_bytes(4, HUB, b"\x01" * 12), bytes(200)),
        ("gateways", b"\xff" * 4, bytes(80)),
        ("gateways", number_key(2), b"\xff" * 80),
        ("hosts", bytes(4) + address_bytes(4, HUB, b"\x01" * 12), bytes(24)),
        ("prefixes", number_key(164) + bytes(4) + address_bytes(4, HUB), bytes(24)),
        ("prefixes", number_key(63) + bytes(4) + address_bytes(4, HUB), bytes(24)),
        ("prefixes", number_key(96) + bytes(4) + address_bytes(4, HUB), bytes(24)),
        ("prefixes", number_key(88) + bytes(4) + address_bytes(4, HUB), bytes(24)),
        ("addresses", address_bytes(4, HUB), bytes(8) + b"\x11\x01" + bytes(190)),
    ],
)
def test_rows_that_we_never_write_are_repaired(
    table: str, key: bytes, value: bytes, plane: DataPlane
) -> None:
    wanted = site(host(1), prefix(1))
    plane.apply(difference(plane.tables(), wanted))
    syscalls.update(plane._tables[table].fd, key, value)
    strays = plane.delete_strays()
    repair = difference(plane.tables(), wanted)
    assert strays + rows_in(repair) == 1
    plane.apply(repair)
    assert plane.tables() == wanted
    assert [len(list(plane._tables[name].items())) for name in ROWS] == [1, 1, 1, 1]
    assert not plane.delete_strays()


@pytest.mark.parametrize(
    "offset", [4, 8 + 15 * 8, 8 + 16 * 8 + 4], ids=["gateway_count", "last service", "gateways[1]"]
)
def test_what_the_kernel_reads_beyond_the_counts_is_repaired(offset: int, plane: DataPlane) -> None:
    """The program looks at all sixteen slots of struct pg_target, whatever the counts say."""
    wanted = site(host(1))
    plane.apply(difference(plane.tables(), wanted))
    addresses = plane._tables["addresses"]
    ((key, value),) = ((bytes(key), bytes(value)) for key, value in addresses.items())
    syscalls.update(addresses.fd, key, value[:offset] + b"\x02" + value[offset + 1 :])
    repair = difference(plane.tables(), wanted)
    assert rows_in(repair) == 1
    plane.apply(repair)
    assert [bytes(value) for _, value in addresses.items()] == [value]


def test_full_gateways(plane: DataPlane) -> None:
    rows = Tables(gateways={n: GatewayRow(f"g{n}") for n in range(1, 6)})
    with pytest.raises(MapFullError, match="max_gateways"):
        plane.apply(Difference(rows))
    assert set(plane.tables().gateways) == {1, 2, 3, 4}


def test_too_many_services_at_an_address(plane: DataPlane) -> None:
    many = Target(tuple((Service(17, port), 1) for port in range(1, 18)))
    with pytest.raises(DataPlaneError, match="17 services"):
        plane.apply(Difference(Tables(targets={HUB: many})))


def test_counters_add_up_over_cpus() -> None:
    cpus = os.sched_getaffinity(0)
    with DataPlane.offline(SIZES) as plane:
        plane.apply(Difference(site(host(7))))
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                assert plane.run(FRAME) == "pass"
        finally:
            os.sched_setaffinity(0, cpus)
        counts = plane.counters()
        assert set(counts) == {0, 1}
        registered = counts[1]["registered_pass"]
        assert (registered.packets, registered.bytes) == (len(cpus), len(cpus) * len(FRAME))
        assert sum(c.packets for each in counts.values() for c in each.values()) == len(cpus)


def test_long_frame_is_run_by_its_first_bytes(plane: DataPlane) -> None:
    plane.apply(Difference(site(host(7))))
    before = plane.counters()[1]["registered_pass"].bytes
    assert plane.run(FRAME + b"\0" * 9000) == "pass"
    assert plane.counters()[1]["registered_pass"].bytes == before + 2048
    assert plane.explain(FRAME + b"\0" * 9000, 0).verdict == "registered"


def test_closing_unloads() -> None:
    with DataPlane.offline(SIZES) as plane:
        program = plane.program_id
        os.close(syscalls.program_fd_by_id(program))

    def gone() -> bool:
        try:
            os.close(syscalls.program_fd_by_id(program))
        except FileNotFoundError:
            return True
        return False

    assert wait_until(gone, 10)


def test_missing_headers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "SYSTEM", tmp_path)
    with pytest.raises(DataPlaneError, match="linux-libc-dev"):
        DataPlane.offline(SIZES)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("#error no such thing\n", "could not be compiled: .*error: no such thing"),
        (
            "int x = *(int *)(long)ctx->data; if (x) return x;\n",
            "could not be loaded: .*outside of the packet",
        ),
    ],
)
def test_refusal_is_one_line(
    line: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of what the compiler or the verifier says, with nothing on standard error."""
    head = "int peergate(struct xdp_md *ctx)\n{\n"
    copy = tmp_path / "peergate.c"
    copy.write_text(headers.PROGRAM.read_text().replace(head, head + line))
    monkeypatch.setattr(headers, "PROGRAM", copy)
    with pytest.raises(DataPlaneError, match=said) as refused:
        DataPlane.offline(SIZES)
    assert "\n" not in refused.value.message
    assert capfd.readouterr().err == ""


def says(script: str) -> str:
    """What a process prints that runs `script` and then opens a data plane."""
    last = """
from control.dataplane import DataPlane
from control.errors import DataPlaneError
from control.model import Sizes
try:
    DataPlane.offline(Sizes(8, 8, 4))
except DataPlaneError as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", script + last], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_missing_bcc_is_named() -> None:
    said = says("import sys; sys.modules['bcc'] = None")
    assert "python3-bpfcc" in said


def test_missing_privilege_is_named() -> None:
    said = says("import os, bcc, control.dataplane; os.setgroups([]); os.setuid(65534)")
    assert "run as root" in said
    assert said.count("\n") == 1
