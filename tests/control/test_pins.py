"""Pinned sets: made whole, adopted by the next process, refused where they are not ours."""

import json
import os
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from control import headers, pins, syscalls
from control.dataplane import DataPlane
from control.entries import Entries, Entry
from control.errors import DataPlaneError
from control.model import Difference, GatewayRow, Tables, Target
from control.sizes import Sizes
from policy.services import Service
from policy.window import FOREVER_NS
from tests.bpf.frames import ether, ip, udp

SIZES = Sizes.room_for(8, 8, 4)
OTHER_SIZES = Sizes.room_for(17, 8, 4)

SITE = Tables(
    gateways={1: GatewayRow("hub", 0, FOREVER_NS)},
    targets={ip_address("198.51.100.1"): Target(((Service(17, 51820), 1),))},
    entries=Entries.of({(1, ip_network("203.0.113.7/32")): Entry(7, 32)}),
)
FRAME = ether(ip("203.0.113.7", "198.51.100.1") / udp())

ADOPT = """
import json, sys
from pathlib import Path
from control.dataplane import DataPlane
from control.sizes import Sizes
from control.pins import Programs
bpffs, before = Path(sys.argv[1]), int(sys.argv[2])
with DataPlane.pinned(bpffs, Sizes.room_for(8, 8, 4)) as plane:
    tables = plane.tables()
    plane.run(bytes.fromhex(sys.argv[3]))
    programs = Programs(bpffs)
    print(json.dumps({
        "adopted": plane.adopted,
        "gateways": {number: row.name for number, row in tables.gateways.items()},
        "entries": [str(prefix) for _, prefix in tables.entries],
        "clock": plane.clock(),
        "packets": plane.counters()[1]["registered_pass"].packets,
        "ours": [programs.is_ours(plane.program_id), programs.is_ours(before)],
    }))
"""


def test_second_process_adopts(bpffs: Path) -> None:
    with DataPlane.pinned(bpffs, SIZES) as plane:
        assert not plane.adopted
        assert plane.pin_dir == pins.set_dir(bpffs, SIZES)
        assert {path.name for path in plane.pin_dir.iterdir()} == set(pins.PINNED)
        plane.apply(Difference(SITE))
        plane.set_clock(123)
        assert plane.run(FRAME) == "pass"
        arguments = [str(bpffs), str(plane.program_id), FRAME.hex()]
        done = subprocess.run(
            [sys.executable, "-c", ADOPT, *arguments], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == {
            "adopted": True,
            "gateways": {"1": "hub"},
            "entries": ["203.0.113.7/32"],
            "clock": 123,
            "packets": 2,
            "ours": [True, True],
        }
    with DataPlane.current(bpffs) as again:
        assert again.tables() == SITE
        assert again.counters()[1]["registered_pass"].packets == 2


def test_other_sizes_are_another_set(bpffs: Path) -> None:
    with DataPlane.pinned(bpffs, SIZES) as old, DataPlane.pinned(bpffs, OTHER_SIZES) as new:
        assert old.pin_dir != new.pin_dir
        assert pins.sets(bpffs) == sorted([old.pin_dir or bpffs, new.pin_dir or bpffs])
        programs = pins.Programs(bpffs)
        assert programs.is_ours(old.program_id)
        assert programs.is_ours(new.program_id)
        pins.remove_set(pins.set_dir(bpffs, SIZES))
        assert not programs.is_ours(old.program_id)
        assert programs.is_ours(new.program_id)
        pins.remove_set(new.pin_dir or bpffs)
        assert pins.sets(bpffs) == []


def test_a_removal_that_ends_in_the_middle_leaves_no_damaged_set(bpffs: Path) -> None:
    with DataPlane.pinned(bpffs, SIZES) as plane:
        directory = plane.pin_dir or bpffs
    (directory / "stuck").mkdir()
    with pytest.raises(DataPlaneError, match="not removed"):
        pins.remove_set(directory)
    assert not directory.exists()
    (pins.sets(bpffs)[0] / "stuck").rmdir()
    with DataPlane.pinned(bpffs, SIZES) as fresh:
        assert not fresh.adopted


def test_root_removes_nothing_where_a_link_leads(bpffs: Path, tmp_path: Path) -> None:
    """The filesystem may be another user's, who can make links in it."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (bpffs / "0123456789abcdef").symlink_to(precious)
    (bpffs / "0123456789abcde0-new").symlink_to(precious)
    assert pins.sets(bpffs) == []
    for name in ("0123456789abcdef", "0123456789abcde0"):
        with pytest.raises(DataPlaneError, match="not removed"):
            pins.remove_set(bpffs / name)
    assert (precious / "file").exists()


def test_programs_by_id(bpffs: Path) -> None:
    programs = pins.Programs(bpffs)
    with DataPlane.pinned(bpffs, SIZES) as plane, DataPlane.offline(SIZES) as private:
        assert programs.name(plane.program_id) == "peergate"
        assert not programs.is_ours(private.program_id)
        fd = programs.open(plane.program_id)
        try:
            assert syscalls.program_info(fd).id == plane.program_id
        finally:
            os.close(fd)
    with pytest.raises(DataPlaneError, match="program 4294967295"):
        programs.name(2**32 - 1)


def test_programs_that_may_be_attached_are_pinned_by_their_ids(bpffs: Path) -> None:
    programs = pins.Programs(bpffs)
    with DataPlane.pinned(bpffs, SIZES) as old, DataPlane.pinned(bpffs, SIZES) as new:
        directory = old.pin_dir or bpffs
        for plane in (old, new, old):
            programs.keep(plane.program_fd)
        assert kept(directory) == {f"program-{old.program_id}", f"program-{new.program_id}"}
        programs.drop({new.program_id})
        assert kept(directory) == {f"program-{new.program_id}"}
        assert programs.is_ours(old.program_id)
    with DataPlane.current(bpffs):  # the pin of a program is no map's
        fd = programs.open(new.program_id)
        assert syscalls.program_info(fd).id == new.program_id
        os.close(fd)
    pins.remove_set(directory)
    assert pins.sets(bpffs) == []


def kept(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - set(pins.PINNED)


def test_a_pin_makes_no_program_ours(bpffs: Path) -> None:
    """Its maps do, and an id other than the name's is not believed."""
    programs = pins.Programs(bpffs)
    with DataPlane.pinned(bpffs, SIZES) as plane, DataPlane.offline(SIZES) as private:
        directory = plane.pin_dir or bpffs
        syscalls.pin(private.program_fd, directory / f"program-{private.program_id}")
        assert not programs.is_ours(private.program_id)
        programs.keep(private.program_fd)
        fd = syscalls.open_pinned(directory / "overflow")
        syscalls.pin(fd, directory / f"program-{plane.program_id}")
        os.close(fd)
        assert programs.is_ours(plane.program_id)
        programs.drop(())
        assert kept(directory) == set()


def test_sets_are_asked_for_where_there_is_no_bpffs(tmp_path: Path) -> None:
    assert pins.sets(tmp_path / "nowhere") == []
    with DataPlane.offline(SIZES) as private:
        assert not pins.Programs(tmp_path / "nowhere").is_ours(private.program_id)


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [
        ("entries", "entries", "max_entries is 96, not 64"),
        ("overflow", "buckets", "type is 2, not 1"),
        ("buckets", "entries", "value_size is 48, not 64"),
        ("root", "counters", "type is 6, not 2"),
        ("counters", "root", "type is 2, not 6"),
    ],
)
def test_pinned_map_of_another_shape(name: str, other: str, why: str, bpffs: Path) -> None:
    with DataPlane.pinned(bpffs, SIZES), DataPlane.pinned(bpffs, OTHER_SIZES) as elsewhere:
        directory = pins.set_dir(bpffs, SIZES)
        (directory / name).unlink()
        fd = syscalls.open_pinned((elsewhere.pin_dir or bpffs) / other)
        syscalls.pin(fd, directory / name)
        os.close(fd)
    with pytest.raises(DataPlaneError, match=f"{directory}/{name}: .*{why}") as refused:
        DataPlane.pinned(bpffs, SIZES)
    assert "peergate detach" in refused.value.message


def test_pinned_program_in_place_of_a_map(bpffs: Path) -> None:
    with DataPlane.pinned(bpffs, SIZES) as plane:
        directory = pins.set_dir(bpffs, SIZES)
        (directory / "overflow").unlink()
        syscalls.pin(plane.program_fd, directory / "overflow")
        # Whose program this is can still be told.
        assert pins.Programs(bpffs).is_ours(plane.program_id)
    with pytest.raises(DataPlaneError, match=r"overflow: .*not a map"):
        DataPlane.pinned(bpffs, SIZES)


def test_missing_pin_is_refused(bpffs: Path) -> None:
    DataPlane.pinned(bpffs, SIZES).close()
    (pins.set_dir(bpffs, SIZES) / "gateways").unlink()
    with pytest.raises(DataPlaneError, match=r"pins of gateways are gone.*peergate detach"):
        DataPlane.pinned(bpffs, SIZES)


def test_set_cut_off_half_made_is_made_again(bpffs: Path) -> None:
    directory = pins.set_dir(bpffs, SIZES)
    fresh = pins.new_dir(directory)
    with DataPlane.pinned(bpffs, OTHER_SIZES) as other:
        fd = syscalls.open_pinned((other.pin_dir or bpffs) / "overflow")
        syscalls.pin(fd, fresh / "overflow")
        os.close(fd)
    with DataPlane.pinned(bpffs, SIZES) as plane:
        assert not plane.adopted
        assert not fresh.exists()
        plane.apply(Difference(SITE))
        assert plane.tables() == SITE


def test_no_set_where_none_may_be_made(bpffs: Path) -> None:
    with pytest.raises(DataPlaneError, match="start the agent first"):
        DataPlane.current(bpffs)
    assert pins.sets(bpffs) == []


@pytest.mark.usefixtures("compiled_anew")
def test_failure_leaves_no_set(bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "SYSTEM", bpffs)
    with pytest.raises(DataPlaneError):
        DataPlane.pinned(bpffs, SIZES)
    assert pins.sets(bpffs) == []


def test_bpffs_is_mounted_once(bpffs: Path) -> None:
    def mounts() -> int:
        return Path("/proc/self/mounts").read_text().count(f" {bpffs} ")

    assert mounts() == 1
    pins.ensure_bpffs(bpffs)
    assert mounts() == 1


def test_bpffs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataPlaneError, match="no bpf filesystem"):
        pins.ensure_bpffs(tmp_path / "file")


def test_name_follows_layout_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = pins.set_dir(tmp_path, SIZES)
    assert pins.set_dir(tmp_path, OTHER_SIZES) != name
    layout = headers.LAYOUT.read_text()
    copy = tmp_path / "peergate.h"
    monkeypatch.setattr(headers, "LAYOUT", copy)
    copy.write_text("/* another comment */\n\n" + layout)
    assert pins.set_dir(tmp_path, SIZES) == name
    copy.write_text(layout.replace("__u32 peer;", "__u64 peer;"))
    assert pins.set_dir(tmp_path, SIZES) != name
    monkeypatch.undo()
    program = headers.PROGRAM.read_text()
    monkeypatch.setattr(headers, "PROGRAM", copy)
    copy.write_text(program + "\n/* more */\n")
    assert pins.set_dir(tmp_path, SIZES) == name
    changed = program.replace('"array", __u32, struct pg_line', '"hash", __u32, struct pg_line')
    assert changed != program
    copy.write_text(changed)
    assert pins.set_dir(tmp_path, SIZES) != name


def test_name_follows_all_that_says_what_stands_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search's header and those that it includes: a program of other ones reads other bits."""
    name, seen = pins.set_dir(tmp_path, SIZES), {headers.PLACES.name}
    left = list(seen)
    while left:
        included = re.findall(r'^#include "(.+)"', (headers.SOURCES / left.pop()).read_text(), re.M)
        left += set(included) - seen
        seen.update(included)
    paths = {key: path for key, path in vars(headers).items() if isinstance(path, Path)}
    for file in seen:
        keys = [key for key, path in paths.items() if path == headers.SOURCES / file]
        assert keys, file
        copy = tmp_path / file
        copy.write_text((headers.SOURCES / file).read_text() + "\n#define PG_ANOTHER 1\n")
        with monkeypatch.context() as patched:
            patched.setattr(headers, keys[0], copy)
            assert pins.set_dir(tmp_path, SIZES) != name, file


def test_a_set_that_is_removed_while_it_is_opened(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when tables grow under the eyes of `status`: the larger ones are opened."""
    with DataPlane.pinned(bpffs, SIZES) as old, DataPlane.pinned(bpffs, OTHER_SIZES) as new:
        found = [(old.place, SIZES), (new.place, OTHER_SIZES)]
        pins.remove_set(old.place)
        monkeypatch.setattr(pins, "current", lambda _: found.pop(0) if found else None)
        with DataPlane.current(bpffs) as opened:
            assert opened.place == new.place
        with pytest.raises(DataPlaneError, match="start the agent first"):
            DataPlane.current(bpffs)
