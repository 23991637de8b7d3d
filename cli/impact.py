"""Who would be cut off or let in by a change, before it is made."""

from typing import Annotated

import typer
from rich.text import Text

from cli.client import Json, Registry
from cli.output import harmless, show, show_json
from cli.peer import PATH, find

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say who would be cut off or let in; change nothing.")
]


def foresee(registry: Registry, which: str, action: str, body: Json | None, as_json: bool) -> None:
    """What an action on one peer would do."""
    found = registry.preview(f"{PATH}/{find(registry, which)['id']}", action, body)
    if as_json:
        show_json(found)
        return
    show_impact(found["impact"])
    peer = found["peer"]
    said = f"peer {peer['id']} ({peer['name']} at {peer['gateway']}) would be {peer['state']}"
    show(Text(f"{harmless(said)}: nothing was changed (dry run)", style="bold"))


def show_impact(impact: Json) -> None:
    """A line for each peer that loses or gains sources; those seen last come first."""
    for effect in impact["effects"]:
        who = f"{harmless(effect['name'])} at {harmless(effect['gateway'])}"
        if effect["cut"]:
            seen = effect["last_seen"]
            when = "not seen" if seen is None else f"last seen about {harmless(seen)}"
            line = f"cuts off {who}: {', '.join(map(harmless, effect['cut']))}; {when}"
            show(Text(line, style="red" if seen else "yellow"))
        if effect["let_in"]:
            line = f"lets in {who}: {', '.join(map(harmless, effect['let_in']))}"
            show(Text(line, style="green"))
    more = impact["peers_cut"] + impact["peers_let_in"] - len(impact["effects"])
    if more > 0 and len(impact["effects"]) == 1000:
        show(Text(f"... and {more} more"))
    if not impact["exact"]:
        show(Text("(too many to look for other peers that cover the same sources)"))
