"""What a change would do to sources: the one answer of all dry runs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from api.registry.impact import Effect, Impact
from api.registry.knocking import Becomes, Knock

# The rest is counted.
_SHOWN = 1_000


class EffectView(BaseModel):
    id: int | None = Field(description="null: the peer is not there yet")
    name: str
    gateway: str
    owner: str
    contact: str
    cut: list[str] = Field(description="sources that pass, and would not")
    let_in: list[str] = Field(description="sources that do not pass, and would")
    effective_from: datetime | None = Field(description="null: at once")
    effective_until: datetime | None = Field(
        description="of those cut: when they pass again; null: not by what is registered"
    )
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
            effective_from=effect.begins,
            effective_until=effect.ends,
            last_seen=effect.last_seen,
        )


class StrangerEffect(BaseModel):
    id: int
    gateway: str
    source: str
    service: str
    becomes: Becomes = Field(
        description="`registered`: some peer's; `passed`: the gateway drops nobody there any more; "
        "`dropped`: it begins to"
    )
    peer: str | None = Field(description="the name of the peer whose source it becomes")
    last_seen: datetime
    minutes: int = Field(description="see a stranger's `minutes`")
    dropped: bool = Field(description="some of its packets were; else they only would have been")
    signed_off: bool

    @classmethod
    def of(cls, knock: Knock) -> Self:
        stranger = knock.stranger
        return cls(
            id=stranger.id,
            gateway=stranger.gateway,
            source=str(stranger.source),
            service=stranger.service,
            becomes=knock.becomes,
            peer=None if knock.peer is None else knock.peer.name,
            last_seen=stranger.last_seen,
            minutes=stranger.minutes,
            dropped=stranger.dropped,
            signed_off=knock.signed_off,
        )


class ImpactView(BaseModel):
    """What another peer covers stays as it is and is left out. An owner is told of its own peer,
    and of strangers at the address alone that it calls from."""

    peers_cut: int = Field(description="peers that lose sources, at once or later")
    peers_cut_seen: int = Field(description="of these, those that a router has seen")
    peers_let_in: int = Field(description="peers that gain sources, at once or later")
    strangers_cut: int = Field(description="strangers that pass, and would be dropped")
    strangers_let_in: int = Field(description="strangers that would pass, or be registered")
    exact: bool = Field(
        description="false: there is too much to look at all of it. Of very many peers some are "
        "only counted, and what other peers cover is not left out; of strangers 5,000 are looked "
        "at, those of each gateway that were seen last"
    )
    effects: list[EffectView] = Field(
        description="one for each peer and time; cut at once and seen last first; a thousand at "
        "most"
    )
    strangers: list[StrangerEffect] = Field(
        description="cut and seen last first; a thousand at most"
    )
    unknown: list[str] = Field(description="what cannot be told, for nobody has seen it yet")

    @classmethod
    def of(cls, found: Impact) -> Self:
        cut = [effect for effect in found.effects if effect.cut]
        let_in = [effect for effect in found.effects if effect.let_in]
        dropped = sum(knock.becomes == "dropped" for knock in found.knocks)
        return cls(
            peers_cut=_peers(cut) + found.cut_more,
            peers_cut_seen=_peers(effect for effect in cut if effect.last_seen is not None),
            peers_let_in=_peers(let_in) + found.let_in_more,
            strangers_cut=dropped,
            strangers_let_in=len(found.knocks) - dropped,
            exact=found.exact,
            effects=[EffectView.of(effect) for effect in found.effects[:_SHOWN]],
            strangers=[StrangerEffect.of(knock) for knock in found.knocks[:_SHOWN]],
            unknown=list(found.unknown),
        )


def _peers(effects: Iterable[Effect]) -> int:
    """A peer has more than one where they come at different times."""
    return len({(e.peer.id, e.peer.gateway, e.peer.name) for e in effects})
