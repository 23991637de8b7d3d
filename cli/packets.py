"""peergate explain and replay: what the program says of packets, through the program itself."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.text import Text

from cli.apply import read_policy
from cli.errors import CliError, UsageError
from cli.options import AgentConfig, AsJson, Now, moment
from cli.output import console, details, show, show_json, show_json_line, table

if TYPE_CHECKING:
    from control.capture import Frame
    from control.explain import Account, Question, Registration
    from control.replay import Judgement, Summary

_SOURCE_PORT = 49152
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
      peergate replay uplink.pcap --policy policy.yaml --now 2026-12-01T00:00:00Z --json
      tcpdump -i eth0 -c 1000 -w - | peergate replay - --policy policy.yaml
    """
    at = moment(now, "--now")
    wanted = read_policy(policy)
    with _opened(capture) as stream:
        from control.allowlist import from_policy
        from control.capture import CaptureError, frames
        from control.offline import bench
        from control.replay import Summary
        from control.replay import replay as judge_all
        from policy.window import to_ns

        allowlist = from_policy(wanted, time=at)
        peers = {peer.id: peer.name for peer in allowlist.peers}
        summary = Summary()
        damage: CaptureError | None = None
        with bench(allowlist, at) as plane:
            try:
                read = _watched(frames(stream), stream)
                for said in judge_all(read, plane.judge, to_ns(at), plane.gateways, peers):
                    summary.add(said)
                    if as_json:
                        show_json_line(said.to_json())
            except CaptureError as error:
                damage = error
    if not as_json and (summary.packets or damage is None):
        _show_summary(summary)
    if damage is not None:
        sys.stdout.flush()
        raise CliError(f"{capture}: {damage.message}")


def explain(
    src: Annotated[str, typer.Option(help="The packet's source.", metavar="ADDRESS")],
    dst: Annotated[str, typer.Option(help="The packet's destination.", metavar="ADDRESS")],
    proto: Annotated[
        str, typer.Option(help="udp, tcp, esp, ah, gre, ipip, icmp ... or its number.")
    ],
    dport: Annotated[
        int | None, typer.Option(help="For udp and tcp.", min=0, max=65535, metavar="PORT")
    ] = None,
    sport: Annotated[
        int | None, typer.Option(help="For udp and tcp.", min=0, max=65535, metavar="PORT")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="The policy to judge by.", metavar="FILE")
    ] = None,
    config: AgentConfig = None,
    now: Now = None,
    as_json: AsJson = False,
) -> None:
    """Say what becomes of a packet, and why.

    With --policy it is judged by that file; else by the maps of this router, as they are.
    The packet is not sent. Needs root.

    Examples:
      peergate explain --src 203.0.113.9 --dst 198.51.100.1 --proto udp --dport 51820
      peergate explain --src 2001:db8:7::1 --dst 2001:db8::1 --proto esp --policy policy.yaml
      peergate explain --src 203.0.113.9 --dst 198.51.100.1 --proto udp --dport 500
          --policy policy.yaml --now 2026-12-01T00:00:00Z --json
    """
    asked = _question(src, dst, proto, sport, dport)
    at = moment(now, "--now")
    from control.explain import account, build
    from policy.window import to_ns

    if policy is not None:
        from control.allowlist import from_policy
        from control.offline import bench

        allowlist = from_policy(read_policy(policy), time=at)
        with bench(allowlist, at) as plane:
            said = plane.judge(build(asked), to_ns(at))
        # A file's revision is a number of the agent's: here there is none.
        told = replace(
            account(asked, said, plane.gateways, allowlist, at), registry=None, revision=None
        )
    else:
        raise CliError("not yet")
    if as_json:
        show_json(told.to_json())
    else:
        _show_account(told)


def _question(src: str, dst: str, proto: str, sport: int | None, dport: int | None) -> "Question":
    from control.explain import PROTOCOLS, Question
    from policy.services import TCP, UDP

    addresses = []
    for option, text in (("--src", src), ("--dst", dst)):
        try:
            addresses.append(ip_address(text))
        except ValueError:
            raise UsageError(f"{option} {text}: not an IPv4 or IPv6 address") from None
    source, destination = addresses
    if source.version != destination.version:
        raise UsageError(f"--src {src} and --dst {dst}: one is IPv4, the other IPv6")
    number = PROTOCOLS.get(proto.lower())
    if number is None and proto.isascii() and proto.isdigit() and int(proto) <= 255:
        number = int(proto)
    if number is None:
        raise UsageError(f"--proto {proto}: one of {', '.join(PROTOCOLS)}, or 0 to 255")
    if number not in (TCP, UDP):
        if sport is not None or dport is not None:
            raise UsageError(f"--proto {proto}: has no ports: leave out --sport and --dport")
        return Question(source, destination, number)
    if dport is None:
        raise UsageError(f"--proto {proto}: give the port with --dport")
    return Question(source, destination, number, _SOURCE_PORT if sport is None else sport, dport)


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


def _watched(frames: "Iterator[Frame]", stream: BinaryIO) -> "Iterator[Frame]":
    """The frames, with a bar on stderr where that is a terminal and the capture is long."""
    to = console(stderr=True)
    size = os.fstat(stream.fileno()).st_size
    if not to.is_terminal or not stream.seekable() or size < _LONG_CAPTURE:
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


def _show_account(told: "Account") -> None:
    said = told.said
    action = f"{said.action} (would drop)" if said.would_drop else said.action
    fields: dict[str, object] = {"verdict": said.verdict, "action": action}
    if told.gateway is not None:
        fields["gateway"] = told.gateway
    if told.revision is not None:
        fields["revision"] = str(told.revision)
    for name, registration in (("peer", told.peer), ("nearest", told.nearest)):
        if registration is not None:
            fields |= _registration(name, registration)
    for number, reason in enumerate(told.why):
        fields["why" if number == 0 else f"{'':{number}}"] = reason
    show(details(fields))


def _registration(name: str, registration: "Registration") -> dict[str, object]:
    shown = registration.to_json()
    return {
        name: f"{shown['name']} ({shown['id']}) at {shown['gateway']}",
        "source": shown["source"],
        "owner": f"{shown['owner']}, {shown['contact']}",
        "purpose": shown["purpose"],
        "valid from": shown["valid_from"],
        "valid until": shown["valid_until"],
    }
