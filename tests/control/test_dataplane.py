"""The data plane: what goes into the maps comes out, and what cannot go in is refused."""

import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest

from control import headers, samples, sizes, syscalls
from control.columns import SourceKey
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.errors import DataPlaneError, MapFullError
from control.model import Difference, GatewayRow, Tables, Target
from control.plan import difference
from control.program import program
from control.sizes import Sizes
from lab.watch import wait_until
from policy.prefixes import Address
from policy.services import Service
from tests.bpf.frames import ether, ip, udp
from tests.control.planes import HUB, SIZES, WIREGUARD, host, prefix, site

ROOMY = Sizes.room_for(20_000, 20_000, 300)
FRAME = ether(ip("203.0.113.7", str(HUB)) / udp())


def full_of_everything() -> Tables:
    """Rows of every kind, more than one batch of each kind of entry."""
    tables = site(*(host(n) for n in range(9_000)), *(prefix(n) for n in range(5_000)))
    for number in range(2, 257):
        tables.gateways[number] = GatewayRow(f"g{number}" + "x" * 50, number, 2**63 + number)
        both = (Service(17, 1000 + number), number), (Service(50), 1)
        tables.targets[HUB + number] = Target(both, later=4097)
        tables.targets[ip_address(f"2001:db8::{number:x}")] = Target(both, later=4097)
    more: dict[SourceKey, Entry] = {
        (256, IPv4Network("10.0.0.0/8")): Entry(2**32 - 1, 8, 1, 2, ended=True),
        (256, IPv6Network("2001:db8:ffff::/16", strict=False)): Entry(1, 16),
        (256, IPv6Network("2001:db8::7/128")): Entry(3, 48, 2**63, 2**64 - 1),
    }
    return replace(tables, entries=Entries.of({**tables.entries, **more}))


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


def test_what_maps_are_said_to_take_is_what_their_values_take() -> None:
    shapes = program(frags=False).shapes
    said = {**sizes._BYTES, "counters": sizes._COUNTERS_BYTES, "samples": samples.SAMPLE.itemsize}
    del said["overflow"]  # which takes what it holds
    assert {name: shapes[name].value_size for name in said} == said


def test_single_calls_do_what_batches_do() -> None:
    with DataPlane.offline(ROOMY) as plane:
        table = plane._tables["overflow"]
        rows = {bytes(24 - 8) + n.to_bytes(8, "little"): bytes(48) for n in range(5000)}
        assert table.write_one_by_one(list(rows.items())) == 5000
        one_by_one = {bytes(key): bytes(value) for key, value in table.items_one_by_one()}
        assert one_by_one == {bytes(key): bytes(value) for key, value in table.items()} == rows
        table.delete_one_by_one(list(rows)[:4000])
        table.delete_one_by_one(list(rows)[:1])  # gone already
        assert len(list(table.items())) == 1000


def test_deleting_what_is_not_there_is_no_error(plane: DataPlane) -> None:
    plane.apply(Difference(site(host(1), host(2), host(3))))
    gone = site(host(9), host(1), host(8), host(2), host(7), prefix(1)).entries
    nothing = Tables({3: GatewayRow("none")}, {HUB + 9: WIREGUARD}, gone)
    plane.apply(Difference(Tables(), nothing))
    assert plane.tables() == site(host(3))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataPlane]:
    """With a secret by which no bucket has more than its slots: what overflows gives its place."""
    monkeypatch.setattr(secrets, "token_bytes", random.Random(1).randbytes)
    with DataPlane.offline(SIZES) as made:
        yield made


@pytest.mark.parametrize(("kind", "table"), [(host, "IPv4 hosts"), (prefix, "IPv6 prefixes")])
def test_full_map(kind: type, table: str, known: DataPlane) -> None:
    """The number, the limit and the setting are named; the rest is in force."""
    with pytest.raises(MapFullError) as refused:
        known.apply(Difference(site(*(kind(n) for n in range(19)))))
    assert (refused.value.table, refused.value.limit, refused.value.wanted) == (table, 16, 19)
    assert f"max_{table.split()[1]}" in refused.value.message
    tables = known.tables()
    assert len(tables.entries) == 16
    assert (tables.gateways, tables.targets) == (site().gateways, site().targets)


def test_full_map_takes_what_deleting_makes_room_for(plane: DataPlane) -> None:
    before, after = site(*map(host, range(16))), site(*map(host, range(8, 24)))
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


def test_full_gateways(plane: DataPlane) -> None:
    rows = Tables(gateways={n: GatewayRow(f"g{n}") for n in range(1, 6)})
    with pytest.raises(MapFullError, match="max_gateways"):
        plane.apply(Difference(rows))
    assert set(plane.tables().gateways) == {1, 2, 3, 4}


def test_too_many_services_at_an_address(plane: DataPlane) -> None:
    many = Target(tuple((Service(17, port), 1) for port in range(1, 18)))
    with pytest.raises(DataPlaneError, match="17 services"):
        plane.apply(Difference(Tables(targets={HUB: many})))


def test_counters_are_told_by_verdict(plane: DataPlane) -> None:
    named = list(plane.counters()[0])
    assert named[:4] == ["other_pass", "bystander_pass", "unprotected_pass", "registered_pass"]
    assert named[4:6] == ["expired_pass", "expired_drop"]
    assert named[6:] == [
        *("unregistered_pass", "unregistered_drop", "malformed_pass", "malformed_drop"),
    ]


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


@pytest.mark.usefixtures("compiled_anew")
def test_missing_headers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "SYSTEM", tmp_path)
    with pytest.raises(DataPlaneError, match="linux-libc-dev"):
        DataPlane.offline(SIZES)


@pytest.mark.usefixtures("compiled_anew")
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
from control.sizes import Sizes
try:
    DataPlane.offline(Sizes.room_for(8, 8, 4))
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
