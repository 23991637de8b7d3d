"""What a change would make of peers and gateways, gathered before it is made."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from api.records import Gateway, Peer, State
from api.registry.spans import Span, ahead, less
from policy.window import Window

# Peers that are held to be looked at; more are only counted.
_HELD = 20_000

PeerChange = tuple[Peer | None, Peer | None]
GatewayChange = tuple[Gateway | None, Gateway | None]


@dataclass(slots=True)
class Foreseen:
    """Each before and after; None where there is none. Of peers those of which other sources pass
    afterwards, or at other times, up to a number; `cut_more` and `let_in_more` count the rest.

    `apart` are ids of peers that are otherwise in the tables, for those asked for are not of the
    newest state; of these, one that does not change is among `peers` too."""

    now: datetime
    peers: list[PeerChange] = field(default_factory=list)
    gateways: list[GatewayChange] = field(default_factory=list)
    cut_more: int = 0
    let_in_more: int = 0
    apart: set[int] = field(default_factory=set)
    left_out: int = 0

    @property
    def whole(self) -> bool:
        return not (self.cut_more or self.let_in_more or self.left_out)

    def note(self, before: object, after: object) -> None:
        """A value of the registry as it is and as it would be; passed over where it is neither a
        peer nor a gateway."""
        match before or after:
            case Peer():
                self._peer(before, after)
            case Gateway():
                self.gateways.append((_gateway(before), _gateway(after)))

    def note_apart(self, number: int, before: Peer | None, after: Peer | None) -> None:
        """A peer of a state that is not the newest, as it is there and as it would be."""
        self.apart.add(number)
        if passing(before, self.now) != passing(after, self.now):
            self._peer(before, after)
        elif after is not None and len(self.peers) < _HELD:
            self.peers.append((before, after))
        else:
            self.left_out += after is not None

    def _peer(self, before: Any, after: Any) -> None:  # noqa: ANN401  # a peer or None, which note() has seen
        was, will = (passing(peer, self.now) for peer in (before, after))
        cut, let_in = _gains(will, was), _gains(was, will)
        if not cut and not let_in:
            return
        if len(self.peers) < _HELD:
            self.peers.append((before, after))
        else:
            self.cut_more += cut
            self.let_in_more += let_in


def _gateway(value: object) -> Gateway | None:
    return value if isinstance(value, Gateway) else None


def span_of(peer: Peer | None, now: datetime) -> Span | None:
    """When one that is approved passes, from now on."""
    if peer is None or peer.state is not State.APPROVED:
        return None
    return ahead(Window(peer.valid_from, peer.valid_until), now)


def passing(peer: Peer | None, now: datetime) -> dict[str, Span]:
    """The sources that pass, now or later, and when."""
    span = span_of(peer, now)
    return {} if peer is None or span is None else dict.fromkeys(peer.sources, span)


def _gains(before: dict[str, Span], after: dict[str, Span]) -> bool:
    """Whether any source passes afterwards at a time when it did not."""
    return before != after and any(
        source not in before or less(span, (before[source],)) for source, span in after.items()
    )


def unborn(gateway: str, fields: dict[str, Any], now: datetime) -> Peer:
    """One that would be approved, and has no id yet; `fields` as `many.fields_of` has them."""
    blank = Peer(
        id=0,
        gateway=gateway,
        name="",
        owner="",
        contact="",
        purpose="",
        sources=(),
        valid_from=None,
        valid_until=None,
        state=State.APPROVED,
        listed=False,
        version=0,
        created=now,
        created_by="",
        decided=None,
        decided_by=None,
        reason=None,
    )
    return replace(blank, **fields)
