"""The registry's word on one answer: what it says of it, signed with its key.

A word is read from two headers, or from the first line of the snapshot on disk. Here it is only
found to be one whole: `control/trust.py` knows whose keys count.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, Field, ValidationError

from policy.document import Moment

# What is signed begins with one of these, so that neither passes for the other.
_STATEMENT = b"peergate statement 1\n"
_ENDORSEMENT = b"peergate endorsement 1\n"

_Key = Annotated[str, Field(pattern="^[A-Za-z0-9+/]{43}=$")]


class BadWordError(ValueError):
    """Not signed, or not so; the message says what is wrong."""


class _Statement(BaseModel):
    """Unknown fields are let be: a newer registry may say more."""

    registry: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Literal["snapshot", "changes"]
    view: Annotated[str, Field(max_length=200)]
    after: Annotated[int, Field(ge=0, lt=2**63)]
    revision: Annotated[int, Field(ge=0, lt=2**63)]
    time: Moment
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Endorsement(BaseModel):
    key: _Key
    by: _Key
    until: Moment


@dataclass(frozen=True, slots=True)
class Word:
    """`statement` is the text that `key` has signed; the rest is what it says.

    `sha256` is of the answer's body; `time` is when it was said.
    """

    statement: str
    key: str
    signature: str
    registry: str
    kind: Literal["snapshot", "changes"]
    view: str
    after: int
    revision: int
    time: datetime
    sha256: str

    @classmethod
    def of(cls, statement: str, key: str, signature: str) -> Self:
        """Raises BadWordError where the key has not signed this."""
        _verify(key, signature, _STATEMENT + statement.encode())
        try:
            said = _Statement.model_validate_json(statement)
        except ValidationError:
            raise BadWordError("its statement cannot be read") from None
        return cls(statement, key, signature, **said.model_dump())

    @classmethod
    def in_headers(cls, headers: Mapping[str, str]) -> Self:
        """Raises BadWordError."""
        statement = headers.get("Peergate-Statement")
        key, _, signature = headers.get("Peergate-Signature", "").partition(" ")
        if statement is None or not signature:
            raise BadWordError("it is not signed")
        return cls.of(statement, key, signature)

    def check(self, kind: str, after: int, registry: str, revision: int, sha256: str) -> None:
        """Whether it is about this body. Raises BadWordError."""
        if (self.kind, self.after) != (kind, after):
            raise BadWordError("what is signed is the answer to another question")
        if self.sha256 != sha256:
            raise BadWordError("it is not what was signed, or was cut off")
        if (self.registry, self.revision) != (registry, revision):
            raise BadWordError("registry or revision are not those that were signed")


@dataclass(frozen=True, slots=True)
class Endorsement:
    """`key` follows on the key `by`, whose word counts until `until` for those who know that."""

    key: str
    by: str
    until: datetime

    @classmethod
    def of(cls, statement: str, signature: str) -> Self:
        """Raises BadWordError where the key `by` has not signed this."""
        try:
            said = _Endorsement.model_validate_json(statement)
        except ValidationError:
            raise BadWordError("an endorsement cannot be read") from None
        _verify(said.by, signature, _ENDORSEMENT + statement.encode())
        return cls(said.key, said.by, said.until)


def is_key(text: str) -> bool:
    """Whether it is a public key as the registry writes it."""
    try:
        return len(_decoded(text)) == 32
    except ValueError:
        return False


def endorsements(body: bytes) -> list[Endorsement]:
    """Of the registry's answer. Raises BadWordError."""
    try:
        return [
            Endorsement.of(str(each["statement"]), str(each["signature"]))
            for each in json.loads(body)["endorsements"]
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise BadWordError(str(error) or "its keys cannot be read") from None


def _verify(key: str, signature: str, what: bytes) -> None:
    try:
        public = Ed25519PublicKey.from_public_bytes(_decoded(key))
        public.verify(_decoded(signature), what)
    except InvalidSignature:
        raise BadWordError("the signature is wrong") from None
    except ValueError:
        raise BadWordError("its key or signature is none") from None


def _decoded(text: str) -> bytes:
    """Of base64 in its one canonical form (RFC 4648, section 3.5): the last character has bits that
    decoders pass over. Raises ValueError."""
    found = base64.b64decode(text, validate=True)
    if base64.b64encode(found) != text.encode():
        raise ValueError("not as base64 is written")
    return found
