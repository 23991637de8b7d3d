"""What a change would do, told before it is made."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.records import Peer
from api.registry import impact, peers
from api.registry.core import Expected, Registry, Write
from api.registry.impact import Effect, Impact
from api.registry.permissions import Caller
from api.routes.conventions import answer
from api.routes.models import PeerView
from api.routes.peer_views import shown

# The rest is counted.
_SHOWN = 1_000

DryRun = Annotated[
    bool,
    Query(description="change nothing, and say what would be cut off; `If-Match` is not needed"),
]


class EffectView(BaseModel):
    id: int | None = Field(description="null: the peer is not there yet")
    name: str
    gateway: str
    owner: str
    contact: str
    cut: list[str] = Field(description="sources that pass, and would not")
    let_in: list[str] = Field(description="sources that do not pass, and would")
    last_seen: datetime | None = Field(description="of those cut: see a peer's `last_seen`")

    @classmethod
    def of(cls, effect: Effect) -> Self:
        peer = effect.peer
        return cls(
            id=peer.id or None,
            name=peer.name,
            gateway=peer.gateway,
            owner=peer.owner,
            contact=peer.contact,
            cut=list(effect.cut),
            let_in=list(effect.let_in),
            last_seen=effect.last_seen,
        )


class ImpactView(BaseModel):
    """What another peer covers stays as it is and is left out. Whether anybody talks from where
    is let in is not known: routers tell of registered peers."""

    peers_cut: int = Field(description="peers that lose sources")
    peers_cut_seen: int = Field(description="of these, those that a router has seen")
    peers_let_in: int = Field(description="peers that gain sources")
    exact: bool = Field(
        description="false: too many sources to look for them all; what other peers cover is not "
        "left out"
    )
    effects: list[EffectView] = Field(description="cut and seen last first; a thousand at most")

    @classmethod
    def of(cls, found: Impact) -> Self:
        cut = [effect for effect in found.effects if effect.cut]
        return cls(
            peers_cut=len(cut),
            peers_cut_seen=sum(effect.last_seen is not None for effect in cut),
            peers_let_in=sum(bool(effect.let_in) for effect in found.effects),
            exact=found.exact,
            effects=[EffectView.of(effect) for effect in found.effects[:_SHOWN]],
        )


class Preview(BaseModel):
    dry_run: Literal[True] = True
    peer: PeerView = Field(description="as it would be")
    impact: ImpactView


def preview(
    registry: Registry,
    caller: Caller,
    number: int,
    expected: Expected,
    work: Callable[[Write, Expected], Peer],
) -> Response:
    """Refused where the change itself would be."""
    if expected == Expected():
        expected = Expected(any_version=True)
    with registry.trial(caller.actor) as write:
        before = peers.get(write, number)
        after = work(write, expected)
        view = shown(write, after)
    with registry.read() as read:
        found = impact.of(read, [(before, after)])
    return answer(Preview(peer=view, impact=ImpactView.of(found)))
