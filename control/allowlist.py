"""Allowlists from policy files and from the registry's JSON, and back to JSON. Pure: no I/O."""

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from control.model import Allowlist, Gateway, Peer
from control.peers import Peers
from policy.document import (
    GatewaySpec,
    Moment,
    PeerSpec,
    Policy,
    problems_of,
)
from policy.errors import PolicyError, Problem
from policy.offers import Offer, offer_problems
from policy.window import rfc3339

PeerId = Annotated[int, Field(ge=1, le=2**32 - 1)]
Revision = Annotated[int, Field(ge=0, lt=2**63)]


class _PeerDocument(PeerSpec):
    id: PeerId


# Unknown fields of the envelopes are let be: a newer registry may say more. Those of a gateway
# or peer are refused: what we do not know might narrow what it means.


class _SnapshotDocument(BaseModel):
    registry: str = Field(min_length=1, max_length=200)
    revision: Revision
    time: Moment
    gateways: tuple[GatewaySpec, ...]
    peers: tuple[_PeerDocument, ...]


class _ChangesDocument(BaseModel):
    registry: str = Field(min_length=1, max_length=200)
    after: Revision
    revision: Revision
    time: Moment
    gateways: dict[str, GatewaySpec | None]
    peers: dict[PeerId, _PeerDocument | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of gateways and peers between two revisions; None where one is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: dict[str, Gateway | None]
    peers: dict[int, Peer | None]


def from_policy(
    policy: Policy, *, registry: str = "file", revision: int = 1, time: datetime | None = None
) -> Allowlist:
    """The allowlist of a policy file: peers are numbered in the file's order, from 1."""
    return Allowlist(
        registry=registry,
        revision=revision,
        time=datetime.now(UTC) if time is None else time,
        gateways=tuple(map(_gateway, policy.gateways)),
        peers=tuple(_peer(number, spec) for number, spec in enumerate(policy.peers, 1)),
    )


def parse_snapshot(text: bytes) -> Allowlist:
    """The allowlist in the registry's JSON. Raises PolicyError with every problem."""
    try:
        document = _SnapshotDocument.model_validate_json(text)
    except ValidationError as error:
        raise PolicyError(problems_of(error)) from None
    return _consistent(
        Allowlist(
            registry=document.registry,
            revision=document.revision,
            time=document.time,
            gateways=tuple(map(_gateway, document.gateways)),
            peers=tuple(_peer(spec.id, spec) for spec in document.peers),
        )
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
            name: None if spec is None else _gateway(spec)
            for name, spec in document.gateways.items()
        },
        peers={
            number: None if spec is None else _peer(number, spec)
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
    )
    if changes.gateways:
        return _consistent(advanced)
    names = {gateway.name for gateway in gateways}
    come = (peer for peer in changes.peers.values() if peer is not None)
    if problems := tuple(_of_no_gateway(come, names)):
        raise PolicyError(problems)
    return advanced


def to_json(allowlist: Allowlist) -> bytes:
    """As the registry would say it: `parse_snapshot` reads it back."""
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
        "peers": [
            {
                "id": peer.id,
                "name": peer.name,
                "gateway": peer.gateway,
                "owner": peer.owner,
                "contact": peer.contact,
                "purpose": peer.purpose,
                "sources": list(map(str, peer.sources)),
                "valid_from": rfc3339(peer.valid.start),
                "valid_until": rfc3339(peer.valid.end),
            }
            for peer in allowlist.peers
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _gateway(spec: GatewaySpec) -> Gateway:
    return Gateway(spec.name, spec.addresses, spec.offered, spec.enforcement)


def _peer(number: int, spec: PeerSpec) -> Peer:
    return Peer(
        id=number,
        name=spec.name,
        gateway=spec.gateway,
        owner=spec.owner,
        contact=spec.contact,
        purpose=spec.purpose,
        sources=spec.sources,
        valid=spec.validity,
    )


def _enforcement(gateway: Gateway) -> dict[str, Any]:
    if gateway.enforce is None:
        return {"mode": "monitor"}
    return {
        "mode": "enforce",
        "enforce_from": rfc3339(gateway.enforce.start),
        "enforce_until": rfc3339(gateway.enforce.end),
    }


def _consistent(allowlist: Allowlist) -> Allowlist:
    """What the parts of an allowlist owe each other."""
    problems = tuple(_inconsistencies(allowlist))
    if problems:
        raise PolicyError(problems)
    return allowlist


def _inconsistencies(allowlist: Allowlist) -> Iterable[Problem]:
    yield from offer_problems(
        Offer(
            gateway.name,
            tuple({address: None for block in gateway.addresses for address in block}),
            gateway.services,
        )
        for gateway in allowlist.gateways
    )
    yield from _of_no_gateway(allowlist.peers, {gateway.name for gateway in allowlist.gateways})
    ids: set[int] = set()
    for peer in allowlist.peers:
        if peer.id in ids:
            yield Problem(f"peers.{peer.id}", peer.name, "two peers have this id")
        ids.add(peer.id)


def _of_no_gateway(peers: Iterable[Peer], names: Container[str]) -> Iterable[Problem]:
    for peer in peers:
        if peer.gateway not in names:
            yield Problem(f"peers.{peer.id}.gateway", peer.gateway, "no gateway has this name")
