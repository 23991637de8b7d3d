"""peergate explain: what becomes of one packet, and why."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.apply import read_policy
from cli.client import Json, connect, segment
from cli.errors import UsageError
from cli.options import AgentConfig, AsJson, CaFile, Now, TokenFile, Url, moment
from cli.output import details, show, show_json

if TYPE_CHECKING:
    from policy.packets import Question

# In a rule, what is an option here.
_OPTION = re.compile(r"\b(?:src|sport|dport)\b")


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
    router: Annotated[
        str | None,
        typer.Option(help="Ask this router, through the registry.", metavar="NAME"),
    ] = None,
    config: AgentConfig = None,
    now: Now = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say what becomes of a packet, and why.

    With --policy it is judged by that file, with --router by the maps of that router, which is
    asked through the registry; else by the maps of this router, as they are. The packet is not
    sent, and nothing is counted. Needs root, but not with --router.

    Examples:
      peergate explain --src 203.0.113.9 --dst 198.51.100.1 \\
          --proto udp --dport 51820
      peergate explain --src 2001:db8:7::1 --dst 2001:db8::1 --proto esp \\
          --policy policy.yaml --now 2026-12-01T00:00:00Z --json
      peergate explain --router edge-1 --src 203.0.113.9 \\
          --dst 198.51.100.1 --proto udp --dport 51820
    """
    asked = _question(src, dst, proto, sport, dport)
    at = moment(now, "--now")
    if router is not None and policy is not None:
        raise UsageError("--router and --policy: one of them judges")
    if router is not None:
        with connect(url, token_file, ca_file) as registry:
            from policy.window import rfc3339

            query = {**asked.to_json(), "now": rfc3339(at)}
            told: Json = registry.get(f"/v1/routers/{segment(router)}/explain", **query).body
    elif policy is not None:
        told = _by_policy(asked, policy, at or datetime.now(UTC))
    else:
        told = _by_router(asked, config, at)
    if as_json:
        show_json(told)
    else:
        _show_account(told)


def _by_policy(asked: "Question", policy: str, now: datetime) -> Json:
    wanted = read_policy(policy)
    from control.allowlist import from_policy
    from control.bench import offline
    from control.explain import account, build
    from policy.window import to_ns

    allowlist = from_policy(wanted, time=now)
    with offline(allowlist, now) as bench:
        said = bench.judge(build(asked), to_ns(now))
    # Where a file stands alone it has no revision.
    told = account(asked, said, bench.gateways, allowlist, now)
    return replace(told, revision=None).to_json()


def _by_router(asked: "Question", config: Path | None, now: datetime | None) -> Json:
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
    return account(asked, said, bench.gateways, load_snapshot(settings.state_dir), at).to_json()


def _question(src: str, dst: str, proto: str, sport: int | None, dport: int | None) -> "Question":
    from policy.errors import PolicyError
    from policy.packets import question

    try:
        return question(src, dst, proto, sport, dport)
    except PolicyError as error:
        (problem,) = error.problems
        rule = _OPTION.sub(r"--\g<0>", problem.rule)
        raise UsageError(f"--{problem.field} {problem.value}: {rule}") from None


def _show_account(told: Json) -> None:
    action = f"{told['action']} (would drop)" if told["would_drop"] else told["action"]
    fields: dict[str, object] = {"verdict": told["verdict"], "action": action}
    if told["gateway"] is not None:
        fields["gateway"] = told["gateway"]
    if told["revision"] is not None:
        fields["revision"] = str(told["revision"])
    for name in ("peer", "nearest"):
        if told[name] is not None:
            fields |= _registration(name, told[name])
    fields["why"] = told["why"]
    show(details(fields))


def _registration(name: str, shown: Json) -> dict[str, object]:
    return {
        name: f"{shown['name']} ({shown['id']}) at {shown['gateway']}",
        "source": shown["source"],
        "owner": f"{shown['owner']}, {shown['contact']}",
        "purpose": shown["purpose"],
        "valid from": shown["valid_from"],
        "valid until": shown["valid_until"],
    }
