"""Peers as they are shown, with when they were last seen."""

from collections.abc import Sequence

from api.records import Peer
from api.registry import sightings
from api.registry.core import Read, Write
from api.routes.models import PeerView


def views(state: Read | Write, found: Sequence[Peer]) -> list[PeerView]:
    seen = sightings.last(state, found)
    return [PeerView.of(peer, state.now, seen.get(peer.id)) for peer in found]


def shown(state: Read | Write, peer: Peer) -> PeerView:
    return views(state, (peer,))[0]
