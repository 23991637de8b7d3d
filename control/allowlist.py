"""Allowlists from policy files and from the registry's JSON, and back to JSON. Pure: no I/O."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from control.model import Allowlist, Gateway, Peer
from control.peers import Peers, records_of
from control.records import PeerDocument, PeerId, peer_of
from control.word import Word
from policy.document import (
    GatewaySpec,
    Moment,
    Policy,
    problems_of,
)
from policy.errors import PolicyError, Problem
from policy.offers import Offer, offer_problems
from policy.window import rfc3339

Revision = Annotated[int, Field(ge=0, lt=2**63)]


# Peers that are written together.
_A_PART = 256

# Unknown fields of the envelopes are let be: a newer registry may say more. Those of a gateway
# or peer are refused: what we do not know might narrow what it means.


class SnapshotDocument(BaseModel):
    registry: str = Field(min_length=1, max_length=200)
    revision: Revision
    time: Moment
    gateways: tuple[GatewaySpec, ...]
    peers: tuple[PeerDocument, ...]


class _ChangesDocument(BaseModel):
    registry: str = Field(min_length=1, max_length=200)
    after: Revision
    revision: Revision
    time: Moment
    gateways: dict[str, GatewaySpec | None]
    peers: dict[PeerId, PeerDocument | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of gateways and peers between two revisions; None where one is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: dict[str, Gateway | None]
    peers: dict[int, Peer | None]
    word: Word | None = field(default=None, compare=False)


def from_policy(
    policy: Policy, *, registry: str = "file", revision: int = 1, time: datetime | None = None
) -> Allowlist:
    """The allowlist of a policy file: peers are numbered in the file's order, from 1."""
    return Allowlist(
        registry=registry,
        revision=revision,
        time=datetime.now(UTC) if time is None else time,
        gateways=tuple(map(gateway_of, policy.gateways)),
        peers=tuple(peer_of(number, spec) for number, spec in enumerate(policy.peers, 1)),
    )


def parse_changes(text: bytes) -> Changes:
    """The changes in the registry's JSON. Raises PolicyError with every problem."""
    try:
        document = _ChangesDocument.model_validate_json(text)
    except ValidationError as error:
        raise PolicyError(problems_of(error)) from None
    if document.revision < document.after:
        raise PolicyError((Problem("revision", str(document.revision), "is below `after`"),))
    for name, gateway in document.gateways.items():
        if gateway is not None and gateway.name != name:
            raise PolicyError((Problem(f"gateways.{name}", gateway.name, "another name inside"),))
    for number, peer in document.peers.items():
        if peer is not None and peer.id != number:
            raise PolicyError((Problem(f"peers.{number}", str(peer.id), "another id inside"),))
    return Changes(
        registry=document.registry,
        after=document.after,
        revision=document.revision,
        time=document.time,
        gateways={
            name: None if spec is None else gateway_of(spec)
            for name, spec in document.gateways.items()
        },
        peers={
            number: None if spec is None else peer_of(number, spec)
            for number, spec in document.peers.items()
        },
    )


def advance(base: Allowlist, changes: Changes) -> Allowlist:
    """`base` with the changes made. Raises PolicyError where they do not fit together."""
    if changes.after != base.revision or changes.registry != base.registry:
        rule = f"these changes are not after revision {base.revision} of {base.registry}"
        raise PolicyError((Problem("after", str(changes.after), rule),))
    gateways = base.gateways
    if changes.gateways:
        changed = {gateway.name: gateway for gateway in base.gateways} | changes.gateways
        gateways = tuple(gateway for gateway in changed.values() if gateway is not None)
    advanced = replace(
        base,
        revision=changes.revision,
        time=changes.time,
        gateways=gateways,
        peers=Peers.of(base.peers).changed(changes.peers),
        word=changes.word,
    )
    if changes.gateways:
        return consistent(advanced)
    names = {gateway.name for gateway in gateways}
    come = (peer for peer in changes.peers.values() if peer is not None)
    if strange := [peer for peer in come if peer.gateway not in names]:
        raise PolicyError(tuple(map(_no_gateway, strange)))
    return advanced


def json_parts(allowlist: Allowlist) -> Iterator[bytes]:
    """As the registry would say it, in parts: `control/reader.py` reads it back."""
    document = {
        "registry": allowlist.registry,
        "revision": allowlist.revision,
        "time": rfc3339(allowlist.time),
        "gateways": [
            {
                "name": gateway.name,
                "addresses": list(map(str, gateway.addresses)),
                "services": list(map(str, gateway.services)),
                **_enforcement(gateway),
            }
            for gateway in allowlist.gateways
        ],
        "peers": [],
    }
    yield json.dumps(document, separators=(",", ":")).encode().removesuffix(b"]}")
    records = records_of(allowlist.peers)
    yield from islice(records, 1)
    while some := list(islice(records, _A_PART)):
        yield b"," + b",".join(some)
    yield b"]}"


def to_json(allowlist: Allowlist) -> bytes:
    return b"".join(json_parts(allowlist))


def gateway_of(spec: GatewaySpec) -> Gateway:
    return Gateway(spec.name, spec.addresses, spec.offered, spec.enforcement)


def _enforcement(gateway: Gateway) -> dict[str, Any]:
    if gateway.enforce is None:
        return {"mode": "monitor"}
    return {
        "mode": "enforce",
        "enforce_from": rfc3339(gateway.enforce.start),
        "enforce_until": rfc3339(gateway.enforce.end),
    }


def consistent(allowlist: Allowlist) -> Allowlist:
    """What the parts of an allowlist owe each other. Raises PolicyError."""
    names = {gateway.name for gateway in allowlist.gateways}
    peers = Peers.of(allowlist.peers)
    problems = (
        *offer_problems(
            Offer(
                gateway.name,
                tuple({address: None for block in gateway.addresses for address in block}),
                gateway.services,
            )
            for gateway in allowlist.gateways
        ),
        *map(_no_gateway, peers.not_at(names)),
        *(Problem(f"peers.{p.id}", p.name, "two peers have this id") for p in peers.twice()),
    )
    if problems:
        raise PolicyError(problems)
    return allowlist


def _no_gateway(peer: Peer) -> Problem:
    return Problem(f"peers.{peer.id}.gateway", peer.gateway, "no gateway has this name")
