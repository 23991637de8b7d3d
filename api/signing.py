"""The registry's key: a file of its own beside the database, and what it signs.

The file holds the private key and the endorsements by which each key made the next one known; it
is no part of the database, and of no backup of it. All processes of a registry have the same file.
"""

import base64
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from api.errors import SettingsError
from api.files import make_private, replace_private
from policy.window import rfc3339

_log = logging.getLogger("peergate.api")

# What is signed begins with one of these, so that neither passes for the other.
_STATEMENT = b"peergate statement 1\n"
_ENDORSEMENT = b"peergate endorsement 1\n"

# How long those who know a new key go on taking the old one's word: other processes may have to
# be given the new file first.
OVERLAP = timedelta(days=7)
# Routers that missed so many rotations have to accept the key by command.
_ENDORSEMENTS_KEPT = 16
_LOOK_AGAIN = 1.0
_COMPACT = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Statement:
    """What the registry says of one answer. `sha256` is of its JSON, before any compression."""

    registry: str
    kind: str  # "snapshot" or "changes"
    view: str  # whose allowlist it is
    after: int  # of changes; else 0
    revision: int
    time: str  # when it was said
    sha256: str

    def text(self) -> str:
        """In printable ASCII: it goes into a header as it stands."""
        return _COMPACT.encode({name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Endorsement:
    """`statement` is JSON: `key`, endorsed by the key `by` at `time`, which counts until `until`
    for whoever knows the new one. `signature` is the old key's."""

    statement: str
    signature: str

    def lets(self, key: str, now: datetime) -> bool:
        """Whether that key is the old one, and still counts."""
        said = json.loads(self.statement)
        return said["by"] == key and now < datetime.fromisoformat(said["until"])


@dataclass(frozen=True, slots=True)
class _Key:
    private: Ed25519PrivateKey
    public: str
    endorsements: tuple[Endorsement, ...]

    @classmethod
    def of(cls, private: Ed25519PrivateKey, endorsements: tuple[Endorsement, ...]) -> "_Key":
        return cls(private, _text(private.public_key().public_bytes_raw()), endorsements)

    def sign(self, what: bytes) -> str:
        return _text(self.private.sign(what))


class Signer:
    """Signs with the key of a file; one that was replaced there is taken up within a second."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError where there is no key."""
        self._file = file
        self._stamp = _stamp(file)
        self._key = _read(file)
        self._looked = time.monotonic()

    @property
    def public(self) -> str:
        """32 bytes in base64."""
        return self._current().public

    @property
    def endorsements(self) -> tuple[Endorsement, ...]:
        """From the oldest key to the one in force."""
        return self._current().endorsements

    def sign(self, statement: Statement) -> dict[str, str]:
        """The two headers that carry a statement."""
        text, key = statement.text(), self._current()
        return {
            "Peergate-Statement": text,
            "Peergate-Signature": f"{key.public} {key.sign(_STATEMENT + text.encode())}",
        }

    def said(self, text: str, signature: str, now: datetime) -> Statement | None:
        """A statement that this registry has signed, with the key in force or one before it whose
        word still counts; None where it has not. `signature` is the header's value."""
        key, _, signed = signature.partition(" ")
        current = self._current()
        if key != current.public and not any(e.lets(key, now) for e in current.endorsements):
            return None
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
            public.verify(base64.b64decode(signed, validate=True), _STATEMENT + text.encode())
            return Statement(**json.loads(text))
        except (InvalidSignature, ValueError, TypeError):
            return None

    def _current(self) -> _Key:
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            self._looked = now
            try:
                stamp = _stamp(self._file)
                if stamp != self._stamp:
                    self._key, self._stamp = _read(self._file), stamp
                    _log.info("%s: signing with the key %s now", self._file, self._key.public)
            except SettingsError as error:
                _log.error("%s; the key of before is in use", error)
        return self._key


def make(file: Path) -> str:
    """A new key in a file that is not there yet; the public one. Raises SettingsError."""
    key = _Key.of(Ed25519PrivateKey.generate(), ())
    make_private(file, _content(key), "PEERGATE_KEY_FILE")
    return key.public


def rotate(file: Path, now: datetime) -> tuple[str, str]:
    """A new key in the old one's place, endorsed by it: both public ones, the old one first."""
    old, new = _read(file), Ed25519PrivateKey.generate()
    said = {
        "key": _text(new.public_key().public_bytes_raw()),
        "by": old.public,
        "time": rfc3339(now),
        "until": rfc3339(now + OVERLAP),
    }
    text = json.dumps(said, separators=(",", ":"))
    endorsement = Endorsement(text, old.sign(_ENDORSEMENT + text.encode()))
    key = _Key.of(new, (*old.endorsements, endorsement)[-_ENDORSEMENTS_KEPT:])
    replace_private(file, _content(key))
    return old.public, key.public


def public(file: Path) -> str:
    """Of the key in a file. Raises SettingsError."""
    return _read(file).public


def _content(key: _Key) -> bytes:
    content = {
        "private": _text(key.private.private_bytes_raw()),
        "endorsements": [asdict(each) for each in key.endorsements],
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _read(file: Path) -> _Key:
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        return _Key.of(
            Ed25519PrivateKey.from_private_bytes(base64.b64decode(content["private"])),
            tuple(Endorsement(**each) for each in content["endorsements"]),
        )
    except FileNotFoundError:
        raise SettingsError(
            f"{file}: the registry's key is not there: copy it from where `peergate api init` "
            "made it, or name its place in PEERGATE_KEY_FILE. Where it is lost for good, "
            "`peergate api key make` makes another one, which every router must accept"
        ) from None
    except OSError as error:
        raise SettingsError(f"{file}: the key cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise SettingsError(f"{file}: is no registry's key: restore the file") from None


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            _read(file)
        raise SettingsError(f"{file}: the key cannot be read: {error.strerror}") from None
    return found.st_ino, found.st_mtime_ns


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
