"""What happened to a peer, as it follows from what it was and what it is."""

from api.event_types import EventType
from api.records import Json, Peer, State
from api.registry.core import Write
from policy.window import rfc3339

_STATES = {
    State.PENDING: EventType.PEER_REQUESTED,
    State.APPROVED: EventType.PEER_APPROVED,
    State.REJECTED: EventType.PEER_REJECTED,
    State.REVOKED: EventType.PEER_REVOKED,
}
_EDITABLE = ("name", "owner", "contact", "purpose", "sources", "valid_from", "valid_until")


def tell(write: Write, before: Peer | None, after: Peer, *, moved: bool = False) -> None:
    """`moved`: by its owner."""
    if before is None or before.state is not after.state:
        type_ = _STATES[after.state]
        # A million of them at once are one event.
        write.tell(type_, after.id, {} if write.news.many(type_) else shown(after))
        return
    told = shown(after)
    fields: list[Json] = [n for n in _EDITABLE if getattr(before, n) != getattr(after, n)]
    if moved:
        write.tell(EventType.PEER_MOVED, after.id, told | {"sources": list(after.sources)})
    elif fields == ["valid_until"]:
        write.tell(EventType.PEER_RENEWED, after.id, told)
    elif fields:
        write.tell(EventType.PEER_EDITED, after.id, told | {"fields": fields})
    elif after.proposal is not None and after.proposal != before.proposal:
        proposal = after.proposal
        told |= {"fields": sorted(proposal.fields), "reason": proposal.declined or proposal.reason}
        declined = proposal.declined is not None
        type_ = EventType.PEER_DECLINED if declined else EventType.PEER_PROPOSED
        write.tell(type_, after.id, told)


def shown(peer: Peer) -> dict[str, Json]:
    """Enough to tell whom it is about."""
    return {
        "name": peer.name,
        "gateway": peer.gateway,
        "owner": peer.owner,
        "contact": peer.contact,
        "valid_from": rfc3339(peer.valid_from),
        "valid_until": rfc3339(peer.valid_until),
        "reason": peer.reason,
    }
