"""The last good allowlist on disk: what a router starts from when its registry is away.

Two lines: a header with the checksum and the registry's word on the last answer that led there,
then the allowlist as the registry says it. Both ways it goes in parts, so that others get their
turn, and is never in memory as a whole.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from control.allowlist import json_parts
from control.errors import SnapshotError
from control.model import Allowlist
from control.reader import SnapshotReader
from control.state import NO_REGISTRY, replacing
from control.word import BadWordError, Word
from policy.errors import PolicyError

NAME = "snapshot.json"

_A_PART = 1 << 16
_LONGEST_HEADER = 1 << 12
# What waits for the disk at any time: others have small files to write.
_FLUSH_EVERY = 1 << 22


def save_snapshot(state_dir: Path, allowlist: Allowlist) -> None:
    """Replace the snapshot on disk. Raises SnapshotError, the old one is whole then."""
    checksum, flushed = hashlib.sha256(), 0
    with replacing(state_dir / NAME) as file:
        file.write(_header(checksum.hexdigest(), allowlist.word))
        for part in json_parts(allowlist):
            checksum.update(part)
            file.write(part)
            if file.tell() - flushed > _FLUSH_EVERY:
                flushed = file.tell()
                file.flush()
                os.fdatasync(file.fileno())
        file.write(b"\n")
        file.seek(0)
        file.write(_header(checksum.hexdigest(), allowlist.word))


def _header(checksum: str, word: Word | None) -> bytes:
    said = None if word is None else [word.statement, word.key, word.signature]
    return json.dumps({"sha256": checksum, "word": said}).encode() + b"\n"


def load_snapshot(state_dir: Path) -> Allowlist | None:
    """The snapshot on disk, None where there is none. Raises SnapshotError where it is damaged."""
    path = state_dir / NAME
    try:
        with path.open("rb") as file:
            return _load(path, file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from None


def _load(path: Path, file: BinaryIO) -> Allowlist:
    try:
        header = json.loads(file.readline(_LONGEST_HEADER))
        wanted, said = header["sha256"], header["word"]
        word = None if said is None else Word.of(*said)
    except BadWordError as error:
        raise SnapshotError(f"{path}: damaged, or not the registry's: {error}") from None
    except (ValueError, TypeError, KeyError):
        raise SnapshotError(f"{path}: damaged: its first line is no header") from None
    checksum, reader, ended = hashlib.sha256(), SnapshotReader(), False
    for part in _parts(file):
        body, end, more = part.partition(b"\n")
        if ended or more:
            break
        ended = bool(end)
        checksum.update(body)
        reader.feed(body)
    else:
        if ended and checksum.hexdigest() == wanted:
            return _finished(path, reader, word)
    raise SnapshotError(f"{path}: damaged or cut off: the checksum does not fit")


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(_A_PART):
        yield part


def _finished(path: Path, reader: SnapshotReader, word: Word | None) -> Allowlist:
    try:
        allowlist = replace(reader.finish(), word=word)
    except PolicyError as error:
        raise SnapshotError(f"{path}: not an allowlist: {error.problems[0]}") from None
    if allowlist.registry == NO_REGISTRY:
        return allowlist
    if word is None or (word.registry, word.revision) != (allowlist.registry, allowlist.revision):
        raise SnapshotError(f"{path}: damaged, or not the registry's: nothing signed belongs to it")
    return allowlist
