"""Strangers as people look at them: who is registered meanwhile, who is ignored on purpose."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from ipaddress import ip_network
from itertools import count

from pydantic import ValidationError

from api.errors import ConflictError, NotFoundError, RefusedError
from api.ownership import Ownership
from api.records import Peer, State
from api.registry import gateways, peers
from api.registry.core import Read, Write
from api.registry.permissions import Caller
from api.store import peers as peer_rows
from api.store import sign_offs, stranger_search
from api.stranger_records import (
    GatewayTotal,
    Order,
    SignOff,
    Stranger,
    StrangerFilter,
    StrangerPlace,
)
from policy.document import PeerSpec, problems_of
from policy.errors import Problem
from policy.prefixes import Address, Network

# So many are looked through for one page, at most.
_LOOKED = 5_000
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Known:
    """A stranger as it is at a moment, and the sign-off that it falls under.

    `peer`: the registration that covers it, or did until it ended; its `state` then.
    """

    stranger: Stranger
    peer: Peer | None
    state: State | None
    sign_off: SignOff | None

    @property
    def is_covered(self) -> bool:
        """Registered, asked for, or to be let in later."""
        return self.peer is not None and self.state is not State.EXPIRED

    @property
    def is_settled(self) -> bool:
        """It is let in, or nobody minds that it is not."""
        return self.state is State.ACTIVE or self.sign_off is not None


@dataclass(frozen=True, slots=True)
class Page:
    """It may hold fewer than were asked for, and yet have a next one."""

    items: tuple[Known, ...]
    next: StrangerPlace | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A gateway's strangers in numbers: their packets by day are counted, not estimated."""

    gateway: str
    strangers: int
    days: Mapping[date, GatewayTotal]


def get(state: Read | Write, number: int) -> Known:
    found = stranger_search.find(state.connection, number)
    if found is None:
        raise NotFoundError(
            f"there is no stranger {number}, or not any more: those that are seen least make room"
        )
    return next(iter(known(state, [found], state.now)))


def page(
    read: Read,
    wanted: StrangerFilter,
    order: Order,
    after: StrangerPlace | None,
    limit: int,
    *,
    covered: bool,
    signed_off: bool,
) -> Page:
    """The first in that order; with or without those covered or signed off."""
    items: list[Known] = []
    chunk = limit if covered and signed_off else max(limit, _CHUNK)
    for _ in range(0, _LOOKED, chunk):
        found = stranger_search.page(read.connection, wanted, order, after, chunk + 1)
        for each in known(read, found[:chunk], read.now):
            after = StrangerPlace.of(each.stranger, order)
            if (covered or not each.is_covered) and (signed_off or each.sign_off is None):
                items.append(each)
            if len(items) == limit:
                last = each.stranger.id == found[-1].id
                return Page(tuple(items), None if last else after)
        if len(found) <= chunk:
            return Page(tuple(items), None)
    return Page(tuple(items), after)


def summary(read: Read, name: str) -> Summary:
    gateway = gateways.get(read, name)
    return Summary(
        gateway=name,
        strangers=stranger_search.count(read.connection, gateway.id),
        days=stranger_search.totals(read.connection, gateway.id),
    )


def register(
    write: Write,
    number: int,
    fields: Mapping[str, object],
    caller: Caller,
    *,
    prefix_length: int | None,
    terms: str | None,
    ownership: Ownership,
) -> Peer:
    """A registration for it, pending. `fields` are those of a peer; what they leave out of name,
    owner and contact is made of the stranger and of whom its prefix belongs to."""
    found = get(write, number)
    stranger, taken = found.stranger, found.peer
    if taken is not None and found.is_covered:
        raise ConflictError(
            f"peer {taken.id} ({taken.name}, {found.state}) covers {stranger.source} at "
            f"{stranger.gateway} already",
            "covered",
        )
    source = _around(stranger.source, prefix_length)
    owned = ownership.find(stranger.source)
    made = {
        "name": _free_name(write, stranger.gateway, source),
        "owner": None if owned is None else owned.owner,
        "contact": None if owned is None else owned.contact,
        **fields,
        "gateway": stranger.gateway,
        "sources": [str(source)],
    }
    rule = f"missing: say it, no prefix of PEERGATE_PREFIXES_FILE holds {stranger.source}"
    missing = [Problem(name, "", rule) for name in ("owner", "contact") if not made[name]]
    if missing:
        raise RefusedError("somebody has to be responsible", "", tuple(missing))
    try:
        wanted = PeerSpec.model_validate(made)
    except ValidationError as error:
        raise RefusedError("the peer would be wrong", "", problems_of(error)) from None
    return peers.request(write, wanted, caller, terms)


def _around(address: Address, length: int | None) -> Network:
    try:
        longest = address.max_prefixlen
        return ip_network(f"{address}/{longest if length is None else length}", strict=False)
    except ValueError:
        rule = f"{address} is in a prefix of /{address.max_prefixlen} at most"
        problem = Problem("prefix_length", str(length), rule)
        raise RefusedError("the peer would be wrong", "", (problem,)) from None


def _free_name(write: Write, gateway: str, source: Network) -> str:
    """A registration that has ended keeps the name that it was given like this."""
    name = default_name(source)
    tried = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(
        each for each in tried if peer_rows.find_live(write.connection, gateway, each) is None
    )


def default_name(source: Network) -> str:
    address = str(source.network_address).replace(":", "-")
    return f"stranger-{address}" + ("" if source.num_addresses == 1 else f"-{source.prefixlen}")


def known(state: Read | Write, found: Sequence[Stranger], at: datetime) -> Iterator[Known]:
    """Each with what stands over it at a moment."""
    spots = [(each.gateway_id, each.source) for each in found]
    covering = stranger_search.covering(state.connection, spots, at)
    ignored = sign_offs.over(state.connection, spots, at)
    for each, spot in zip(found, spots, strict=True):
        peer = covering.get(spot)
        shown = None if peer is None else peer.shown(at)
        yield Known(each, peer, shown, ignored.get(spot))
