"""One peer, as several commands name it, change it and say what became of it."""

from typing import Annotated

import typer

from cli.client import Json, Registry, segment
from cli.errors import CliError
from cli.output import note, show_json

PATH = "/v1/peers"

# An ended registration leaves its name to the next one.
_GONE = ("rejected", "revoked")

Which = Annotated[
    str, typer.Argument(help="The peer's id, its name, or GATEWAY/NAME.", metavar="PEER")
]
Reason = Annotated[str, typer.Option(help="Why; kept with the registration.", metavar="TEXT")]


def find(registry: Registry, which: str) -> Json:
    """The peer of that id or name. Of one name, those pending or approved come first."""
    if which.isascii() and which.isdigit():
        found: Json = registry.get(f"{PATH}/{segment(which)}").body
        return found
    gateway, slash, name = which.rpartition("/")
    pages = registry.pages(PATH, gateway=gateway if slash else None)
    named = [each for each in pages if each["name"] == name]
    living = [each for each in named if each["state"] not in _GONE]
    if len(living) > 1:
        options = ", ".join(f"{each['gateway']}/{each['name']}" for each in living)
        raise CliError(f"{which}: several peers have this name: say one of {options}")
    if not named:
        raise CliError(f"{which}: no peer has this name; see `peergate peer list`")
    return (living or named)[-1]


def act(
    registry: Registry,
    which: str,
    action: str,
    body: Json | None = None,
    *,
    urgent: bool = False,
) -> Json:
    peer = find(registry, which)
    query = {"urgent": True} if urgent else {}
    changed: Json = registry.act(f"{PATH}/{peer['id']}", action, body, **query).body
    return changed


def done(peer: Json, what: str, as_json: bool) -> None:
    if as_json:
        show_json(peer)
    else:
        state = "" if peer["state"] == what else f", now {peer['state']}"
        note(f"peer {peer['id']} ({peer['name']} at {peer['gateway']}) {what}{state}")
