"""peergate replay: a capture through the program itself, and what it says of every frame."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.text import Text

from cli.apply import read_policy
from cli.errors import CliError
from cli.options import Now, moment
from cli.output import console, show, show_json_line, table

if TYPE_CHECKING:
    from control.capture import Frame
    from control.replay import Judgement, Summary
    from policy.document import Policy

_LONG_CAPTURE = 4 * 1024 * 1024


def replay(
    capture: Annotated[
        str, typer.Argument(help="A pcap or pcapng file, - for stdin.", metavar="CAPTURE")
    ],
    policy: Annotated[str, typer.Option(help="The policy to judge by.", metavar="FILE")],
    now: Now = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a frame, in place of the summary.")
    ] = False,
) -> None:
    """Run every frame of a capture through the compiled program, and say its verdicts.

    Nothing is attached, and no packet is sent. Needs root, for loading the program.

    Examples:
      peergate replay uplink.pcap --policy policy.yaml
      peergate replay uplink.pcap --policy policy.yaml \\
          --now 2026-12-01T00:00:00Z --json
      tcpdump -i eth0 -c 99 -w - | peergate replay - --policy policy.yaml
    """
    at = moment(now, "--now") or datetime.now(UTC)
    wanted = read_policy(policy)
    with _opened(capture) as stream:
        summary, damage = _run(wanted, at, stream, as_json)
    if not as_json and (summary.packets or damage is None):
        _show_summary(summary)
    if damage is not None:
        sys.stdout.flush()
        raise CliError(f"{capture}: {damage}")


def _run(
    wanted: "Policy", at: datetime, stream: BinaryIO, as_json: bool
) -> "tuple[Summary, str | None]":
    """Judge all frames, and print them as they come; the last word is where damage ended it."""
    from control.allowlist import from_policy
    from control.bench import offline
    from control.capture import CaptureError, frames
    from control.replay import Summary
    from control.replay import replay as judge
    from policy.window import to_ns

    summary = Summary()
    allowlist = from_policy(wanted, time=at)
    peers = {peer.id: peer.name for peer in allowlist.peers}
    # From a pipe, somebody watches: each line at once.
    live = not stream.seekable()
    try:
        # What is no capture is refused before the program is compiled.
        read = _watched(frames(stream), stream, as_json)
        with offline(allowlist, at) as bench:
            for said in judge(read, bench.judge, to_ns(at), bench.gateways, peers):
                summary.add(said)
                if as_json:
                    show_json_line(said.to_json(), at_once=live)
    except CaptureError as error:
        return summary, error.message
    return summary, None


@contextmanager
def _opened(capture: str) -> Iterator[BinaryIO]:
    if capture == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(capture, "rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise CliError(f"{capture}: cannot be read: {error.strerror}") from None
    with stream:
        yield stream


def _watched(frames: "Iterator[Frame]", stream: BinaryIO, as_json: bool) -> "Iterator[Frame]":
    """The frames, with a bar on stderr where that is a terminal and the capture is long."""
    to = console(stderr=True)
    size = os.fstat(stream.fileno()).st_size
    printing = as_json and sys.stdout.isatty()
    if not to.is_terminal or printing or not stream.seekable() or size < _LONG_CAPTURE:
        yield from frames
        return
    from rich.progress import Progress

    with Progress(console=to, transient=True) as progress:
        task = progress.add_task("frames", total=size)
        for frame in frames:
            if frame.number % 1000 == 0:
                progress.update(task, completed=stream.tell())
            yield frame


def _show_summary(summary: "Summary") -> None:
    rows = [
        (gateway, verdict, "would drop" if would_drop else action, count)
        for (gateway, verdict, action, would_drop), count in sorted(
            summary.counts.items(), key=lambda item: (item[0][0] or "", -item[1], item[0][1:])
        )
    ]
    show(table(("gateway", "verdict", "action", "#packets"), rows))
    if summary.drops:
        show(
            table(
                ("#packet", "gateway", "verdict", "action", "peer"),
                map(_drop, summary.drops),
                title="first of what is dropped, or would be",
            )
        )
    cut = f", {summary.truncated:,} of them cut by the snap length" if summary.truncated else ""
    show(Text(f"{summary.packets:,} packets{cut}"))


def _drop(said: "Judgement") -> tuple[object, ...]:
    action = "would drop" if said.would_drop else said.action
    return said.packet, said.gateway, said.verdict, action, said.peer
