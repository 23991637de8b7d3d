"""peergate explain: what becomes of one packet, and why."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.apply import read_policy
from cli.errors import UsageError
from cli.options import AgentConfig, AsJson, Now, moment
from cli.output import details, show, show_json

if TYPE_CHECKING:
    from control.explain import Account, Question, Registration

_SOURCE_PORT = 49152


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
      peergate explain --src 203.0.113.9 --dst 198.51.100.1 \\
          --proto udp --dport 51820
      peergate explain --src 2001:db8:7::1 --dst 2001:db8::1 --proto esp \\
          --policy policy.yaml --now 2026-12-01T00:00:00Z --json
    """
    asked = _question(src, dst, proto, sport, dport)
    at = moment(now, "--now")
    if policy is not None:
        told = _by_policy(asked, policy, at or datetime.now(UTC))
    else:
        told = _by_router(asked, config, at)
    if as_json:
        show_json(told.to_json())
    else:
        _show_account(told)


def _by_policy(asked: "Question", policy: str, now: datetime) -> "Account":
    wanted = read_policy(policy)
    from control.allowlist import from_policy
    from control.bench import offline
    from control.explain import account, build
    from policy.window import to_ns

    allowlist = from_policy(wanted, time=now)
    with offline(allowlist, now) as bench:
        said = bench.judge(build(asked), to_ns(now))
    # Where a file stands alone it has no revision.
    return replace(account(asked, said, bench.gateways, allowlist, now), revision=None)


def _by_router(asked: "Question", config: Path | None, now: datetime | None) -> "Account":
    """By the maps as they are. Who is behind them, the snapshot on disk says."""
    from control.bench import live
    from control.explain import account, build
    from control.settings import load_settings
    from control.snapshot import load_snapshot
    from policy.window import to_ns

    settings = load_settings(config, os.environ)
    with live(settings) as bench:
        at = now or bench.now
        said = bench.judge(build(asked), to_ns(at))
    return account(asked, said, bench.gateways, load_snapshot(settings.state_dir), at)


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
    fields["why"] = told.why
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
