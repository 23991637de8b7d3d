"""Interfaces and the XDP program on them. This module alone imports pyroute2.

Verbs are idempotent and leave somebody else's program alone: a first attach happens
only where nothing is attached, a replacement only where the program expected is.
"""

import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pyroute2 import AsyncIPRoute, IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from control import devices, ethtool, syscalls
from control.errors import LinkError
from control.refusal import MUST_FIT, Refusal, single_buffer_mtu
from control.refusal import Attach as Attach

log = logging.getLogger(__name__)

# linux/if_link.h
UPDATE_IF_NOEXIST = 1 << 0
REPLACE = 1 << 4
MODE_FLAG: dict[str, int] = {"generic": 1 << 1, "native": 1 << 2, "offload": 1 << 3}
MODE_PROGRAM = {
    "native": "IFLA_XDP_DRV_PROG_ID",
    "generic": "IFLA_XDP_SKB_PROG_ID",
    "offload": "IFLA_XDP_HW_PROG_ID",
}
DETACH = -1
RTMGRP_LINK = 1

# Somebody else was quicker between reading and writing: read again.
RACES = (errno.EBUSY, errno.EEXIST, errno.ENOENT)
ATTEMPTS = 3

Netlink = Any  # pyroute2's IPRoute, which has no types


class Programs(Protocol):
    """What is known of loaded programs; control.pins has these functions."""

    def is_ours(self, program: int) -> bool: ...

    def name(self, program: int) -> str | None:
        """None where this process may not know."""

    def open(self, program: int) -> int:
        """A file descriptor that the caller closes."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What sits on an interface: `programs` are ids by attach, nearly always one or none."""

    interface: str
    index: int
    programs: tuple[tuple[str, int], ...]
    mtu: int = 0

    def program(self, attach: str) -> int | None:
        return dict(self.programs).get(attach)

    def __str__(self) -> str:
        return ", ".join(f"program {p} ({attach})" for attach, p in self.programs) or "no program"


def attachment(name: str) -> Attachment:
    """What is attached to the interface now. Raises LinkError where it is missing."""
    with IPRoute() as netlink:
        return _read(netlink, name)


def exists(name: str) -> bool:
    """Whether an interface has this name, or this alternative one."""
    with IPRoute() as netlink:
        try:
            return bool(netlink.link("get", ifname=name))
        except NetlinkError:
            return False


def attachments() -> tuple[Attachment, ...]:
    """Every interface of this network namespace that has a program."""
    with IPRoute() as netlink:
        try:
            found = [_attachment(link) for link in netlink.get_links()]
        except NetlinkError as error:
            raise LinkError(f"links cannot be listed: {os.strerror(error.code)}") from None
        return tuple(one for one in found if one.programs)


def ensure_attached(
    name: str, program_fd: int, attach: Attach, programs: Programs, *, frags: bool = False
) -> Attachment:
    """The program sits on the interface as asked for, read back.

    Another program of ours there is replaced in one step. Raises LinkError: interface
    missing, somebody else's program, or attach refused (what was there is there still).
    `frags`: the program takes frames of several buffers.
    """
    wanted = program_id(program_fd)
    last: Refusal | None = None
    with IPRoute(ext_ack=True) as netlink:
        for _ in range(ATTEMPTS):
            found = _read(netlink, name)
            if found.programs == ((attach, wanted),):
                return found
            if (error := foreign(found, programs)) is not None:
                raise error
            last = Refusal(name, driver(name), attach, found.mtu, frags and _has_frags(found))
            if (error := last.foreseen()) is not None:
                raise error
            try:
                _attach(netlink, found, program_fd, attach, programs)
            except NetlinkError as refused:
                last = last.because(*refused.args)
                if refused.code in RACES:
                    continue
                raise last.error() from None
            now = _read(netlink, name)
            if now.programs == ((attach, wanted),):
                log.info("%s: program %d attached, %s (was: %s)", name, wanted, attach, found)
                return now
    why = f" ({last.why})" if last and last.why else ""
    raise LinkError(
        f"{name}: the program could not be attached{why}: {_read_again(name)} is there, and "
        "changes; find out what else attaches XDP programs to it"
    )


def _has_frags(found: Attachment) -> bool:
    """Whether the driver takes frames of several buffers; asked only where a frame is that long."""
    by = driver(found.interface)
    if found.mtu <= single_buffer_mtu(by) or by not in MUST_FIT:
        return True
    says = (devices.xdp_features() or {}).get(found.index)
    return says is not None and says.multi_buffer


def ensure_detached(name: str, programs: Programs) -> Attachment | None:
    """No program of ours sits on the interface; what did, if one of ours was among it."""
    with IPRoute() as netlink:
        for _ in range(ATTEMPTS):
            found = _read(netlink, name)
            ours = [(attach, p) for attach, p in found.programs if programs.is_ours(p)]
            if not ours:
                return None
            try:
                for attach, program in ours:
                    with _opened(programs, program) as fd:
                        _set(netlink, found.index, DETACH, MODE_FLAG[attach] | REPLACE, fd)
            except NetlinkError as error:
                if error.code not in RACES:
                    raise LinkError(
                        f"{name}: {found} cannot be detached: {os.strerror(error.code)}"
                    ) from None
                continue
            if not any(programs.is_ours(p) for _, p in _read(netlink, name).programs):
                log.info("%s: detached %s", name, found)
                return found
    raise LinkError(f"{name}: {_read_again(name)} could not be detached: something attaches it")


def _attach(
    netlink: Netlink, found: Attachment, fd: int, attach: Attach, programs: Programs
) -> None:
    if not found.programs:
        _set(netlink, found.index, fd, MODE_FLAG[attach] | UPDATE_IF_NOEXIST)
        return
    (mode, old), *more = found.programs
    with _opened(programs, old) as expected:
        if mode == attach and not more:
            _set(netlink, found.index, fd, MODE_FLAG[attach] | REPLACE, expected)
            return
        # The kernel takes native and generic only one after the other; packets pass meanwhile.
        _set(netlink, found.index, DETACH, MODE_FLAG[mode] | REPLACE, expected)
        if more:
            raise NetlinkError(errno.EEXIST)
        try:
            _set(netlink, found.index, fd, MODE_FLAG[attach] | UPDATE_IF_NOEXIST)
        except NetlinkError:
            _set(netlink, found.index, expected, MODE_FLAG[mode] | UPDATE_IF_NOEXIST)
            raise


def _set(netlink: Netlink, index: int, fd: int, flags: int, expected: int | None = None) -> None:
    # Not link("set", xdp_fd=…, …): pyroute2 drops flags and expected fd there.
    attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    if expected is not None:
        attrs.append(("IFLA_XDP_EXPECTED_FD", expected))
    netlink.link("set", index=index, xdp={"attrs": attrs})


def _read(netlink: Netlink, name: str) -> Attachment:
    try:
        (link,) = netlink.link("get", ifname=name)
    except NetlinkError as error:
        if error.code in (errno.ENODEV, errno.ERANGE):
            raise LinkError(
                f"{name}: there is no such interface; see `ip link` and the setting `interfaces`"
            ) from None
        raise LinkError(f"{name}: cannot be read: {os.strerror(error.code)}") from None
    return _attachment(link)


def _attachment(link: Any) -> Attachment:  # noqa: ANN401  # pyroute2's message, without types
    xdp = link.get_attr("IFLA_XDP")
    found = {mode: xdp and xdp.get_attr(attribute) for mode, attribute in MODE_PROGRAM.items()}
    programs = tuple((mode, int(program)) for mode, program in found.items() if program)
    name, mtu = link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MTU")
    return Attachment(name, int(link["index"]), programs, int(mtu))


def _read_again(name: str) -> str:
    try:
        return str(attachment(name))
    except LinkError as error:
        return error.message


def foreign(found: Attachment, programs: Programs) -> LinkError | None:
    """What to say of somebody else's program there, if there is one."""
    for attach, program in found.programs:
        if not programs.is_ours(program):
            name = programs.name(program)
            called = f"name {name or '(none)'}"
            if name is None:
                called = f"name unknown without CAP_SYS_ADMIN (`bpftool prog show id {program}`)"
            return LinkError(
                f"{found.interface}: somebody else's XDP program sits there: id {program}, "
                f"{called}, {attach}; peergate does not replace it: take it off, or leave this "
                "interface out of `interfaces`"
            )
    return None


@contextmanager
def _opened(programs: Programs, program: int) -> Iterator[int]:
    fd = programs.open(program)
    try:
        yield fd
    finally:
        os.close(fd)


def program_id(fd: int) -> int:
    """The kernel's id of the program behind a file descriptor."""
    return syscalls.program_info(fd).id


def driver(name: str) -> str:
    """What drives the interface, as ethtool says it (sysfs shows another namespace's links)."""
    return ethtool.driver(name) or "(unknown)"


async def follow(interfaces: frozenset[str], changed: Callable[[], None]) -> None:
    """Call `changed` whenever one of the interfaces may have; never returns.

    Followed are links with one of these names, links with a program (it may be an interface that
    was renamed), and whatever becomes of them. A flood of events overflows the socket: what was
    lost is unknown, so that counts as a change.
    """
    followed: set[int] = set()
    async with AsyncIPRoute() as netlink, AsyncIPRoute() as listing:
        await netlink.bind(groups=RTMGRP_LINK)
        async for link in await listing.link("dump"):
            if devices.names(link) & interfaces or _attachment(link).programs:
                followed.add(link["index"])
        changed()  # before we listened, for all we know
        async for event in _events(netlink):
            if event is not None and devices.names(event) & interfaces:
                followed.add(event["index"])
            if event is None or event["index"] in followed:
                changed()


async def _events(netlink: Netlink) -> AsyncIterator[Any]:
    """Messages of links that came, went or changed; None where some were lost."""
    while True:
        try:
            # get() ends after each datagram.
            async for message in netlink.get():
                yield message
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield None
