"""peergate replay: a capture through the program itself, and what it says of every frame."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.text import Text

from cli.allowlist import current_allowlist
from cli.apply import read_policy
from cli.comparison import show_comparison, to_json
from cli.errors import CliError, UsageError
from cli.options import CaFile, Now, TokenFile, Url, moment
from cli.output import console, show, show_json, show_json_line, table

if TYPE_CHECKING:
    from control.bench import Bench
    from control.capture import Frame
    from control.comparison import Comparison
    from control.model import Allowlist
    from control.replay import Judgement, Summary

_LONG_CAPTURE = 4 * 1024 * 1024


def replay(
    capture: Annotated[
        str, typer.Argument(help="A pcap or pcapng file, - for stdin.", metavar="CAPTURE")
    ],
    policy: Annotated[
        str | None, typer.Option(help="The policy to judge by.", metavar="FILE")
    ] = None,
    current: Annotated[
        bool, typer.Option("--current", help="Judge by what the registry holds now.")
    ] = False,
    router: Annotated[
        str | None,
        typer.Option(help="With --current: by what this router gets.", metavar="NAME"),
    ] = None,
    now: Now = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object a frame; of a comparison, one with the changes."
        ),
    ] = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Run every frame of a capture through the compiled program, and say its verdicts.

    With --current and --policy it runs them under both, and says which packets would become of
    another verdict if the policy were applied. Nothing is attached, and no packet is sent. Needs
    root, for loading the program.

    Examples:
      peergate replay uplink.pcap --policy policy.yaml
      peergate replay uplink.pcap --current --router edge-1 --json
      peergate replay uplink.pcap --current --policy proposed.yaml
      tcpdump -i eth0 -c 99 -w - | peergate replay - --policy policy.yaml
    """
    if policy is None and not current:
        raise UsageError("say what to judge by: --policy FILE, --current, or both to compare")
    if router is not None and not current:
        raise UsageError("--router: needs --current: a policy file is for all routers")
    at = moment(now, "--now") or datetime.now(UTC)
    sides = []
    if current:
        sides.append(_Side("current", current_allowlist(url, token_file, ca_file, router)))
    if policy is not None:
        sides.append(_Side(policy, _proposed(policy, at)))
    with _opened(capture) as stream:
        if len(sides) == 2:
            damage = _compare(sides, at, stream, as_json)
        else:
            damage = _judge(sides[0].allowlist, at, stream, as_json)
    if damage is not None:
        sys.stdout.flush()
        raise CliError(f"{capture}: {damage}")


@dataclass(frozen=True, slots=True)
class _Side:
    """What is judged by, and what it is called."""

    name: str
    allowlist: "Allowlist"


def _proposed(policy: str, at: datetime) -> "Allowlist":
    wanted = read_policy(policy)
    from control.allowlist import from_policy

    return from_policy(wanted, time=at)


def _judge(allowlist: "Allowlist", at: datetime, stream: BinaryIO, as_json: bool) -> str | None:
    """Judge all frames, and print them as they come; what is wrong with the capture."""
    from control.bench import offline
    from control.capture import CaptureError, frames
    from control.peers import Names
    from control.replay import Summary
    from control.replay import replay as judge
    from policy.window import to_ns

    summary, damage = Summary(), None
    names = Names(allowlist.peers)
    # From a pipe, somebody watches: each line at once.
    live = not stream.seekable()
    try:
        # What is no capture is refused before the program is compiled.
        read = _watched(frames(stream), stream, as_json)
        with offline(allowlist, at) as bench:
            for said in judge(read, bench.judge, to_ns(at), bench.gateways, names):
                summary.add(said)
                if as_json:
                    show_json_line(said.to_json(), at_once=live)
    except CaptureError as error:
        damage = error.message
    if not as_json and (summary.packets or damage is None):
        _show_summary(summary)
    return damage


def _compare(sides: list[_Side], at: datetime, stream: BinaryIO, as_json: bool) -> str | None:
    """Judge all frames under both, and print what differs; what is wrong with the capture."""
    from control.bench import offline
    from control.capture import CaptureError, frames
    from control.comparison import Comparison, Says
    from control.peers import Names
    from control.replay import judgement
    from policy.window import to_ns

    found, damage = Comparison(), None

    def says(bench: "Bench", side: _Side) -> Says:
        names = Names(side.allowlist.peers)
        return lambda frame: judgement(frame, bench.judge, to_ns(at), bench.gateways, names)

    try:
        read = _watched(frames(stream), stream, as_json)
        with ExitStack() as stack:
            before, after = (
                says(stack.enter_context(offline(side.allowlist, at)), side) for side in sides
            )
            found.run(read, before, after)
    except CaptureError as error:
        damage = error.message
    if as_json:
        show_json(_document(found, sides))
    elif found.before.packets or damage is None:
        show_comparison(found)
    return damage


def _document(found: "Comparison", sides: list[_Side]) -> dict[str, object]:
    current, proposed = sides
    known = {"registry": current.allowlist.registry, "revision": current.allowlist.revision}
    return to_json(found, known, {"policy": proposed.name})


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
