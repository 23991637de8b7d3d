"""Who would be cut off or let in by a change, before it is made."""

from typing import Annotated

import typer
from rich.text import Text

from cli.client import Json, Registry
from cli.options import spelled
from cli.output import cell, harmless, show, show_json
from cli.peer import PATH, find

# Of more the registry tells how many.
_SHOWN = 1_000
# Of routers so many are named.
_NAMED = 10

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say who would be cut off or let in; change nothing.")
]


def foresee(registry: Registry, which: str, action: str, body: Json | None, as_json: bool) -> None:
    """What an action on one peer would do."""
    path = f"{PATH}/{find(registry, which)['id']}/{action}"
    show_peer(registry.preview("POST", path, body), as_json)


def show_peer(found: Json, as_json: bool) -> None:
    """What a dry run says of one peer."""
    peer = found["peer"]
    said = f"peer {peer['id']} ({peer['name']} at {peer['gateway']}) would be {peer['state']}"
    _show(found, said, as_json)


def show_gateway(found: Json, name: str, as_json: bool, would: str = "changed") -> None:
    """What a dry run says of one gateway."""
    gateway, routers = found["gateway"], found["routers"]
    said = "gone" if gateway is None else f"{would}, mode {gateway['mode']}"
    if not as_json:
        if routers["gaining"]:
            who = _some(routers["gain"], routers["gaining"])
            show(Text(f"begins at {who}: {_judged(routers['peers'], gateway['mode'])}"))
        if routers["losing"]:
            who = _some(routers["lose"], routers["losing"])
            show(Text(f"ceases at {who}: everybody passes there", style="yellow"))
    _show(found, f"gateway {name} would be {said}", as_json)


def show_router(found: Json, as_json: bool) -> None:
    """What a dry run says of a router's labels."""
    if as_json:
        show_json(found)
        return
    for each in found["gains"]:
        judged = _judged(each["peers"], each["mode"])
        show(Text(f"begins with {harmless(each['gateway'])}: {judged}"))
    for each in found["loses"]:
        name = harmless(each["gateway"])
        show(Text(f"ceases with {name}: everybody passes here", style="yellow"))
    if found["stage"] != found["stage_before"]:
        come = "comes" if found["stage"] == "canary" else "goes"
        stage = "a canary" if found["stage"] == "canary" else "no canary"
        show(Text(f"would be {stage}: what waits for a release {come}"))
    show_impact(found["impact"])
    labels = ", ".join(map(harmless, spelled(found["labels"]))) or "no labels"
    said = f"router {harmless(found['name'])}: {labels}"
    show(Text(f"{said}: nothing was changed (dry run)", style="bold"))


def _judged(peers: int, mode: str) -> str:
    who = "1 peer passes" if peers == 1 else f"{peers:,} peers pass"
    return f"{who}, everybody else is {'dropped' if mode == 'enforce' else 'counted'}"


def _some(names: list[str], count: int) -> str:
    shown = names[:_NAMED]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return ", ".join(map(harmless, shown)) + more


def _show(found: Json, said: str, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_impact(found["impact"])
    show(Text(f"{harmless(said)}: nothing was changed (dry run)", style="bold"))


def show_impact(impact: Json) -> None:
    """A line for each peer that loses or gains sources, and for each stranger; those seen last
    come first."""
    for effect in impact["effects"]:
        who = f"{harmless(effect['name'])} at {harmless(effect['gateway'])}"
        if effect["cut"]:
            seen = effect["last_seen"]
            when = "not seen" if seen is None else f"last seen about {cell(seen).plain}"
            line = (
                f"cuts off {who}: {', '.join(map(harmless, effect['cut']))}{_times(effect)}; {when}"
            )
            show(Text(line, style="red" if seen else "yellow"))
        if effect["let_in"]:
            what = ", ".join(map(harmless, effect["let_in"])) + _times(effect)
            line = f"lets in {who}: {what}"
            show(Text(line, style="green"))
    _more(impact["peers_cut"] + impact["peers_let_in"], impact["effects"], "peers")
    for stranger in impact["strangers"]:
        _show_stranger(stranger)
    _more(impact["strangers_cut"] + impact["strangers_let_in"], impact["strangers"], "strangers")
    for each in impact["unknown"]:
        show(Text(f"not known: {harmless(each)}", style="yellow"))
    if not impact["exact"]:
        show(Text("(not all was looked at: what other peers cover, or all strangers)"))


def _times(effect: Json) -> str:
    """Nothing is said of what comes at once, and for good."""
    begins, ends = effect["effective_from"], effect["effective_until"]
    said = "" if begins is None else f", from {cell(begins).plain}"
    return said if ends is None else f"{said}, until {cell(ends).plain}"


def _show_stranger(stranger: Json) -> None:
    cuts = stranger["becomes"] == "dropped"
    who = f"{harmless(stranger['source'])} at {harmless(stranger['gateway'])}"
    what = [harmless(stranger["service"]), f"last seen {cell(stranger['last_seen']).plain}"]
    if stranger["peer"] is not None:
        what.append(f"as {harmless(stranger['peer'])}")
    if stranger["signed_off"]:
        what.append("signed off")
    line = f"{'cuts off' if cuts else 'lets in'} stranger {who}: {', '.join(what)}"
    show(Text(line, style="red" if cuts else "green"))


def _more(total: int, shown: list[Json], what: str) -> None:
    if total > len(shown) and len(shown) == _SHOWN:
        show(Text(f"... and {total - len(shown)} more {what}"))
