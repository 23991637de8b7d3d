"""The last good allowlist on disk: what a router starts from when its registry is away.

Two lines: a header with the checksum, then the allowlist as the registry says it.
"""

import hashlib
import json
from pathlib import Path

from control.allowlist import parse_snapshot, to_json
from control.errors import SnapshotError
from control.model import Allowlist
from control.state import write_atomically
from policy.errors import PolicyError

NAME = "snapshot.json"


def save_snapshot(state_dir: Path, allowlist: Allowlist) -> None:
    """Replace the snapshot on disk. Raises SnapshotError, the old one is whole then."""
    body = to_json(allowlist)
    header = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
    write_atomically(state_dir / NAME, header + b"\n" + body + b"\n")


def load_snapshot(state_dir: Path) -> Allowlist | None:
    """The snapshot on disk, None where there is none. Raises SnapshotError where it is damaged."""
    path = state_dir / NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from None
    header, _, rest = content.partition(b"\n")
    body, end, more = rest.partition(b"\n")
    try:
        checksum = json.loads(header)["sha256"]
    except (ValueError, TypeError, KeyError):
        raise SnapshotError(f"{path}: damaged: its first line is no header") from None
    if not end or more or hashlib.sha256(body).hexdigest() != checksum:
        raise SnapshotError(f"{path}: damaged or cut off: the checksum does not fit")
    try:
        return parse_snapshot(body)
    except PolicyError as error:
        raise SnapshotError(f"{path}: not an allowlist: {error.problems[0]}") from None
