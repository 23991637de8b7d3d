"""peergate gateway plan-cutover, confirm-cutover, return: from monitor to enforce, on a date."""

from typing import Annotated

import typer

from cli.client import Json, connect, segment
from cli.options import AsJson, CaFile, TokenFile, Url, moment, seconds
from cli.output import note, show_json, warn, whole
from cli.readiness import PATH, Days, MinMinutes, Name, show_report

# Of routers, people are shown so many.
_NAMED = 5
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def add_to(group: typer.Typer) -> None:
    group.command("plan-cutover")(plan)
    group.command("confirm-cutover")(confirm)
    group.command("return")(take_back)


def plan(
    name: Name,
    at: Annotated[str, typer.Option(help="From then on strangers are dropped.", metavar="TIME")],
    confirm_within: Annotated[
        str,
        typer.Option(
            help="Not confirmed by then, it monitors again, as in 90s, 15m, 2h.", metavar="TIME"
        ),
    ] = "15m",
    most_dropped_sources: Annotated[
        int,
        typer.Option(
            help="If more sources that passed until then are dropped, it goes back by itself; "
            "0: never.",
            min=0,
            metavar="N",
        ),
    ] = 10,
    days: Days = 7,
    min_minutes: MinMinutes = 1,
    override: Annotated[
        str | None,
        typer.Option(
            help="Why it goes over in spite of its strangers; in the audit trail.", metavar="REASON"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how ready it is; plan nothing.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Plan when a gateway goes over from monitor to enforce. The kernels switch
    by their own clocks, and back again unless it is confirmed in time.

    Refused while active strangers are neither registered nor signed off. Needs
    the role approver.

    Examples:
      peergate gateway plan-cutover hub --at 2026-12-01T16:00Z --dry-run
      peergate gateway plan-cutover hub --at 2026-12-01T16:00Z
      peergate gateway plan-cutover hub --at 2026-12-01T16:00Z \\
          --confirm-within 2h --override "They were told in June"
    """
    moment(at, "--at")
    body: Json = {
        "at": at,
        "confirm_within": seconds(confirm_within, "--confirm-within"),
        "most_dropped_sources": most_dropped_sources,
        "days": days,
        "min_minutes": min_minutes,
        "override": override,
    }
    path = f"{PATH}/{segment(name)}"
    with connect(url, token_file, ca_file) as registry:
        ready = registry.get(f"{path}/readiness", at=at, days=days, min_minutes=min_minutes)
        if dry_run and not as_json:
            show_report(ready.body)
        query = {"dry_run": "true"} if dry_run else {}
        planned = registry.replace(f"{path}/cutover", body, ready.etag, **query).body
    if as_json:
        show_json(planned)
        return
    for warning in planned["warnings"] if not dry_run else ():
        warn(warning)
    would = "would go" if dry_run else "goes"
    note(
        f"{name} {would} over to enforce at {whole(planned['at'])}, in "
        f"{span(planned['seconds'])}; not confirmed until {whole(planned['until'])}, it monitors "
        "again"
    )


def confirm(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Confirm a cut-over that has switched: the gateway enforces for good. Needs
    the role approver.

    Examples:
      peergate gateway confirm-cutover hub
    """
    with connect(url, token_file, ca_file) as registry:
        done = registry.act(f"{PATH}/{segment(name)}", "cutover/confirm").body
    if as_json:
        show_json(done)
    else:
        note(f"{name} enforces for good")
        _tell_who_waits(name, done, f"; without it by {whole(done['until'])}, it monitors again")


def take_back(
    name: Name,
    reason: Annotated[
        str | None, typer.Option(help="Why; in the audit trail.", metavar="TEXT")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Back to monitor, at once and without asking: a cut-over that has switched
    or is confirmed. One that is planned is cancelled. Needs the role approver.

    Examples:
      peergate gateway return hub
      peergate gateway return hub --reason "A branch office cannot connect"
    """
    with connect(url, token_file, ca_file) as registry:
        path = f"{PATH}/{segment(name)}"
        done = registry.act(path, "cutover/return", {"reason": reason}).body
    if as_json:
        show_json(done)
    else:
        note(f"{name} monitors: its cut-over is {done['state']}")
        _tell_who_waits(name, done)


def _tell_who_waits(name: str, done: Json, then: str = "") -> None:
    """Routers hear of it from now on."""
    waiting = done["without_it"]
    if not waiting:
        return
    more = f" and {len(waiting) - _NAMED:,} more" if len(waiting) > _NAMED else ""
    routers = "1 router is" if len(waiting) == 1 else f"{len(waiting):,} routers are"
    names = ", ".join(waiting[:_NAMED]) + more
    note(f"{routers} yet to have it: {names} (peergate gateway show {name}){then}")


def lines(cutover: Json | None) -> list[str]:
    """All that there is to say of it; what its own resource says beyond, as far as it is there."""
    if cutover is None:
        return []
    at, until = whole(cutover["at"]), whole(cutover["until"])
    match cutover["state"]:
        case "planned":
            found = [
                f"planned for {at}, in {span(cutover['seconds'])}",
                f"to be confirmed until {until}",
            ]
        case "switched":
            found = [
                f"switched at {at}, awaiting confirmation until {until}",
                f"{span(cutover['seconds'])} left, then it monitors again",
            ]
        case state:
            why = f": {cutover['reason']}" if cutover["reason"] else ""
            ended = whole(cutover["ended"] or cutover["until"])
            return [f"{state} at {ended}{_by(cutover)}{why}", *_missing(cutover)]
    if (cutover["days"], cutover["min_minutes"]) != (7, 1):
        found.append(
            f"strangers count that were seen in the last {cutover['days']} days, in "
            f"{cutover['min_minutes']} minutes or more"
        )
    if cutover["strangers"]:
        found.append(f"strangers neither registered nor signed off: {cutover['strangers']:,}")
    if cutover.get("dropped_sources"):
        most = cutover["most_dropped_sources"]
        bound = f", at most {most:,} may be" if most else ""
        count = f"{cutover['dropped_sources']:,}{bound}"
        found.append(f"sources that passed until then and are dropped: {count}")
    if cutover["override"]:
        found.append(f"overridden: {cutover['override']}")
    return [*found, *_missing(cutover)]


def _missing(cutover: Json) -> list[str]:
    return [
        f"not in force at {router['name']} yet"
        for router in cutover.get("routers", ())
        if not router["has_it"]
    ]


def short(cutover: Json | None) -> list[str]:
    """For a table."""
    if cutover is None:
        return []
    match cutover["state"]:
        case "planned":
            found = ["planned", f"in {span(cutover['seconds'])}"]
            if cutover["strangers"]:
                found.append(f"strangers left: {cutover['strangers']:,}")
            return found
        case "switched":
            return ["awaiting confirmation", f"{span(cutover['seconds'])} left"]
        case state:
            return [str(state)]


def span(seconds: int) -> str:
    """In its two largest units."""
    parts: list[str] = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts or size == 1:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if len(parts) == 1 or part[:2] != "0 ")


def _by(cutover: Json) -> str:
    return f" by {cutover['ended_by']}" if cutover["ended_by"] else ""
