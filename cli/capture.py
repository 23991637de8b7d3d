"""peergate capture: some packets off the program itself, with what became of each, into a file."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cli.errors import CliError, UsageError
from cli.options import AgentConfig
from cli.output import note, show_json, warn

if TYPE_CHECKING:
    from control.captured import Captured, Reader
    from control.settings import Settings

# Seconds between two looks at what was written down, and at whether the program is still there.
_LOOK, _CHECK = 0.02, 1.0
_HEADER_BYTES = 256
# Of packets to gateways: what passes by is nobody's business.
_VERDICTS = ("unprotected", "registered", "expired", "unregistered", "malformed")


def capture(
    file: Annotated[
        str, typer.Option("--write", "-w", help="A pcapng file, - for stdout.", metavar="FILE")
    ],
    gateway: Annotated[
        str | None, typer.Option(help="Only packets to this gateway.", metavar="NAME")
    ] = None,
    verdict: Annotated[
        list[str] | None, typer.Option(help="Only of this verdict; repeatable.", metavar="WORD")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-c", help="End after so many packets.", min=1, max=1_000_000)
    ] = 100,
    seconds: Annotated[float, typer.Option(help="End after so long.", min=0.1, max=3600)] = 60.0,
    most_bytes: Annotated[
        int, typer.Option("--bytes", help="End when the file has so many.", min=1000, max=2**32)
    ] = 64 * 1024 * 1024,
    payload: Annotated[
        bool, typer.Option("--payload", help="With what packets carry, not only headers.")
    ] = False,
    snap_length: Annotated[
        int | None,
        typer.Option(help="Of each frame so many bytes, carried ones too.", min=14, max=2048),
    ] = None,
    config: AgentConfig = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say in JSON what was captured.")] = False,
) -> None:
    """Capture packets to gateways on this router, each with its verdict as a comment.

    Also those that the program drops, which tcpdump never sees. Headers alone, unless asked. While
    it runs, another program is in place of the usual one: it writes packets down, some 1,600 a
    second and CPU at most, and goes on with the usual one. If this command dies, the agent puts
    that back. Needs root.

    Examples:
      peergate capture --gateway hub --verdict unregistered -w out.pcapng -c 100
      peergate capture -w - --seconds 10 | tshark -r - -T fields -e frame.comment
    """
    for word in verdict or ():
        if word not in _VERDICTS:
            raise UsageError(f"--verdict {word}: one of {', '.join(_VERDICTS)}")
    if file == "-" and as_json:
        raise UsageError("-w - and --json: both want stdout")
    from control.captured import MOST_BYTES, Wanted, capturing
    from control.dataplane import DataPlane
    from control.settings import load_settings

    settings = load_settings(config, os.environ)
    length = snap_length or (MOST_BYTES if payload else _HEADER_BYTES)
    with DataPlane.current(settings.bpffs) as plane:
        names = {number: row.name for number, row in plane.gateways().items()}
        words = plane.counted.verdict_words
        verdicts = frozenset(map(words.index, verdict or _VERDICTS))
        wanted = Wanted(_number(names, gateway), verdicts, length)
        whole = payload or snap_length is not None
        until = time.monotonic() + seconds
        with _opened(file) as stream, capturing(settings, plane, wanted, until) as reader:
            out = _Out(stream, names, whole=whole)
            ended = _run(settings, reader, out, count, until, most_bytes)
    _tell(out, reader.missed, ended, as_json=as_json, quiet=file == "-")


class _Out:
    """Writes packets down, and counts them by verdict."""

    def __init__(self, stream: BinaryIO, names: dict[int, str], *, whole: bool) -> None:
        from control.pcapng import Writer

        self.counts: Counter[str] = Counter()
        self.file = Writer(stream, "peergate capture")
        self._stream = stream
        self._names = names
        self._whole = whole
        self._interfaces: dict[int, str] = {}

    def takes_one(self, until: float) -> bool:
        """Whether there is room for one before that time: nobody may read the pipe that it is."""
        return bool(select([], [self._stream], [], max(until - time.monotonic(), 0))[1])

    def write(self, packet: "Captured") -> None:
        from control.flows import headers

        self.counts[packet.verdict] += 1
        data = packet.data if self._whole else headers(packet.data)
        gateway = self._names.get(packet.gateway, str(packet.gateway))
        action = "drop" if packet.drop else "pass"
        comment = f"verdict {packet.verdict}, action {action}, gateway {gateway}"
        interface = self._interface(packet.interface)
        self.file.write(interface, packet.time, data, packet.length, comment)

    def _interface(self, index: int) -> str:
        if index not in self._interfaces:
            from socket import if_indextoname

            try:
                self._interfaces[index] = if_indextoname(index)
            except OSError:
                self._interfaces[index] = f"interface {index}"
        return self._interfaces[index]


def _run(
    settings: "Settings", reader: "Reader", out: _Out, count: int, until: float, most: int
) -> str:
    """Until one of the bounds; which."""
    from control.captured import is_there

    check = time.monotonic() + _CHECK
    try:
        while True:
            for packet in reader.read():
                if not out.takes_one(until):
                    return "seconds"
                out.write(packet)
                if out.counts.total() >= count:
                    return "count"
                if out.file.bytes >= most:
                    return "bytes"
            now = time.monotonic()
            if now >= until:
                return "seconds"
            if now >= check:
                check = now + _CHECK
                if not is_there(settings, reader.program):
                    return "replaced"
            time.sleep(min(_LOOK, max(until - now, 0)))
    except KeyboardInterrupt:
        return "interrupted"


def _tell(out: _Out, missed: int, ended: str, *, as_json: bool, quiet: bool) -> None:
    if ended == "replaced":
        warn("the agent has put its own program back: the capture ended early")
    packets = out.counts.total()
    if as_json:
        by_verdict = dict(out.counts)
        found = {"packets": packets, "missed": missed, "ended": ended, "verdicts": by_verdict}
        show_json({**found, "bytes": out.file.bytes})
        return
    if quiet:
        return
    parts = ", ".join(f"{count:,} {word}" for word, count in out.counts.most_common())
    more = f"; {missed:,} more came faster than they are written down" if missed else ""
    note(f"{packets:,} packets{f' ({parts})' if parts else ''}, ended by {ended}{more}")


def _number(names: dict[int, str], gateway: str | None) -> int:
    if gateway is None:
        return 0
    for number, name in names.items():
        if name == gateway:
            return number
    raise UsageError(f"--gateway {gateway}: this router has none of this name")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdout.buffer
        return
    try:
        # Captured headers are for nobody else.
        stream = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise CliError(f"{file}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream
