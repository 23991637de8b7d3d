"""Run in a virtual machine: what its kernel takes, found by trying; JSON on standard output.

The machine has two virtio_net cards on one hub. Everything is tried as the agent does it: the
program loaded by control.dataplane, attached by control.links.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from control import devices, links, loader, syscalls
from control.dataplane import DataPlane
from control.errors import ControlError
from control.frame_flags import frame_flags
from control.pins import Programs
from control.program import ENTRY_POINTS, LIVE, program
from control.sizes import Sizes
from lab.netns import Namespace, veth
from tests.control.edge import MNT_DETACH
from tests.vm.guest.cards import join_cards

SIZES = Sizes.room_for(128, 128, 16)
USUAL_MTU, LARGEST_MTU = 1500, 9216
LOCKED = 65536
PORT, IP_UDP = 9, 28
PATIENCE = 60.0  # seconds; where a packet will not pass, the attachment is refused before

# struct bpf_prog_info: verified_insns, from Linux 5.16 on.
_VERIFIED_AT = 216
_MAP_CREATE, _ARRAY = 0, 2


def largest(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    """The largest number that fits, if all smaller ones do too; None where not even the least."""
    if not fits(least):
        return None
    if fits(most):
        return most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def yes(it_is: bool) -> str:
    return "yes" if it_is else "no"


# The verifier


def instructions(plane: DataPlane) -> dict[str, int]:
    """How many instructions the verifier processed for each entry point, as its log says."""
    flags = syscalls.XDP_HAS_FRAGS if plane.frags else 0
    made = program(frags=plane.frags)
    fds = {fd: plane._fds[name] for fd, name in made.maps.items()}
    counted = {}
    for entry in ENTRY_POINTS:
        code = loader.over_maps(made.code[entry], fds)
        log = syscalls.verifier_log(code, entry, flags, syscalls.LOG_STATISTICS)
        (line,) = (line for line in log.splitlines() if line.startswith("processed "))
        counted[entry] = int(line.split()[1])
    return counted


def verified(fd: int) -> int:
    """What the kernel says of a loaded program; 0 where it does not."""
    return int(struct.unpack_from("=I", syscalls._info(fd, 256), _VERIFIED_AT)[0])


# Maps and programs


def has_frame_flags() -> bool:
    flags = frame_flags()
    return flags is not None and loader.has_frame_flags(flags)


def locked_memory_counts() -> bool:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (LOCKED, before[1]))
    try:
        # map_type, key_size, value_size, max_entries
        attributes = syscalls._attributes("IIII", _ARRAY, 4, 16 * LOCKED, 1)
        os.close(syscalls._bpf(_MAP_CREATE, attributes))
    except PermissionError:
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
    return False


def has_batches(plane: DataPlane, name: str) -> bool:
    table = plane._tables[name]
    sizes = ctypes.sizeof(table.key), ctypes.sizeof(table.value)
    try:
        syscalls.lookup_batch(table.fd, None, 16, *sizes)
    except OSError as error:
        if error.errno in (errno.EINVAL, syscalls.ENOTSUPP, errno.EOPNOTSUPP):
            return False
        raise
    return True


def longest_test_frame(plane: DataPlane) -> int | None:
    def runs(length: int) -> bool:
        try:
            syscalls.test_run(plane.program_fd, bytes(length))
        except OSError:
            return False
        return True

    return largest(runs, 14, 65535)


# Interfaces


class Trial:
    """A link between router and internet, its router's end given the program as the agent does."""

    def __init__(
        self, plane: DataPlane, programs: Programs, router: Namespace, internet: Namespace, at: int
    ) -> None:
        self.plane, self.programs = plane, programs
        self.ends = ((router, f"uplink{at}"), (internet, f"router{at}"))
        self.uplink = self.ends[0][1]
        self.addresses = (f"192.0.2.{4 * at + 1}", f"192.0.2.{4 * at + 2}")
        self.refusals: list[str] = []

    def prepare(self) -> None:
        for (namespace, link), address in zip(self.ends, self.addresses, strict=True):
            namespace.add_address(link, f"{address}/30")

    def set_mtu(self, mtu: int) -> None:
        for namespace, link in self.ends:
            namespace.set_link(link, mtu=mtu)

    def works(self, attach: links.Attach, mtu: int) -> bool:
        """Attached at this MTU, and frames of that size come through."""
        self.set_mtu(mtu)
        with self.ends[0][0].entered():
            try:
                links.ensure_attached(
                    self.uplink, self.plane.program_fd, attach, self.programs,
                    frags=self.plane.frags,
                )  # fmt: skip
                return self._passes(mtu)
            except ControlError as error:
                self.refusals.append(error.message)
                return False
            finally:
                links.ensure_detached(self.uplink, self.programs)

    def _passes(self, mtu: int) -> bool:
        (router, _), (internet, _) = self.ends
        with (
            router.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
            internet.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            server.settimeout(0.5)
            deadline = time.monotonic() + PATIENCE
            server.bind((self.addresses[0], PORT))
            while time.monotonic() < deadline:
                try:
                    client.sendto(bytes(mtu - IP_UDP), (self.addresses[0], PORT))
                    if len(server.recv(1 << 16)) == mtu - IP_UDP:
                        return True
                except OSError:  # ARP, or a card that is being set up
                    time.sleep(0.1)
        return False

    def result(self, attach: links.Attach) -> str:
        """Up to which MTU; the first refusal goes to standard error."""
        self.refusals.clear()
        most = largest(lambda mtu: self.works(attach, mtu), USUAL_MTU, LARGEST_MTU)
        self.set_mtu(USUAL_MTU)
        for refusal in self.refusals[:1]:
            print(refusal, file=sys.stderr)
        if most is None:
            return "no"
        return f"yes, MTU to {most}" + (" at least" if most == LARGEST_MTU else "")


def says_features(index: int) -> str:
    """In netlink's netdev family."""
    found = (devices.xdp_features() or {}).get(index)
    if found is None or not found.native:
        return "no"
    return "native, several buffers" if found.multi_buffer else "native"


@contextmanager
def bpffs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bpf"
        try:
            yield path
        finally:
            with suppress(OSError):
                ctypes.CDLL(None).umount2(os.fsencode(path), MNT_DETACH)


def on_links(plane: DataPlane, programs: Programs) -> dict[str, str]:
    """What veth and virtio_net take, native and generic."""
    found: dict[str, str] = {}
    with Namespace("router") as router, Namespace("internet") as internet:
        veth(router, "uplink0", internet, "router0")
        join_cards(router, "uplink1", internet, "router1")

        modes: tuple[links.Attach, ...] = ("native", "generic")
        for number, driver in enumerate(("veth", "virtio_net")):
            trial = Trial(plane, programs, router, internet, number)
            trial.prepare()
            for attach in modes:
                found[f"{driver}, {attach}"] = trial.result(attach)
            with router.entered():
                index = links.attachment(trial.uplink).index
                found[f"{driver} says its XDP features"] = says_features(index)
    return found


def main() -> None:
    with bpffs() as path, DataPlane.pinned(path, SIZES) as plane:
        said = verified(plane.program_fd)
        features = {
            "coarse clock": yes(loader.has_coarse_clock()),
            "frames of several buffers": yes(plane.frags),
            "a frame's flags": yes(has_frame_flags()),
            "maps are no locked memory": yes(not locked_memory_counts()),
            "batches of hash entries": yes(has_batches(plane, "overflow")),
            "count of verified instructions": yes(said > 0),
            "longest frame of a test run": f"{longest_test_frame(plane)} bytes",
        }
        taken = on_links(plane, Programs(path))
        counted = instructions(plane)
        if said not in (0, counted[LIVE]):
            raise SystemExit(f"the kernel says {said} instructions, its log {counted[LIVE]}")
    result = {
        "release": platform.release(),
        "features": features,
        "attachment": taken,
        "instructions": counted,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
