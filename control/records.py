"""One peer in the registry's JSON: a record, from and to."""

import json
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from control.model import Peer
from policy.document import PeerSpec
from policy.window import rfc3339

PeerId = Annotated[int, Field(ge=1, le=2**32 - 1)]


class PeerDocument(PeerSpec):
    id: PeerId


_MANY = TypeAdapter(list[PeerDocument])


def parse(records: Sequence[bytes]) -> list[Peer]:
    """The peers. Raises pydantic's ValidationError."""
    return [peer_of(spec.id, spec) for spec in _MANY.validate_json(b"[%b]" % b",".join(records))]


def refusals(records: Sequence[bytes], first: int) -> list[ErrorDetails]:
    """What is wrong with each, as if they stood in `peers` from number `first` on."""
    found: list[ErrorDetails] = []
    for number, record in enumerate(records, first):
        try:
            PeerDocument.model_validate_json(record)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                detail["loc"] = ("peers", number, *detail["loc"])
                found.append(detail)
    return found


def peer_of(number: int, spec: PeerSpec) -> Peer:
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


def record(peer: Peer) -> bytes:
    """One line, without its end."""
    document = {
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
    return json.dumps(document, separators=(",", ":")).encode()


def one_line(text: bytes) -> bytes:
    """The same record without line breaks; in a string JSON has none."""
    return b" ".join(text.splitlines()) if b"\n" in text or b"\r" in text else text
