"""A request sent twice with one idempotency key is carried out once."""

import hashlib

from api.errors import ConflictError, RefusedError
from api.records import Replay
from api.registry.core import Read, Write
from api.registry.permissions import Caller
from api.store import replays
from policy.errors import Problem


def find(state: Read | Write, caller: Caller, key: str, digest: str) -> Replay | None:
    """What was answered the first time. `digest` tells whether it is the same request."""
    replay = replays.find(state.connection, _digest(caller), key)
    if replay is None:
        return None
    if replay.digest != digest:
        rule = "this key was used for another request: take a new one"
        raise RefusedError(
            "the key is taken", "key-reused", (Problem("Idempotency-Key", key, rule),)
        )
    if replay.body is None:
        raise ConflictError(
            "this was done already, and its answer held a secret that is not kept: "
            "if the answer was lost, take away what was made and make another",
            "answer-not-kept",
        )
    return replay


def keep(write: Write, caller: Caller, key: str, replay: Replay) -> None:
    replays.keep(write.connection, _digest(caller), key, replay, write.now)


def _digest(caller: Caller) -> str:
    return hashlib.sha256(caller.identity.encode()).hexdigest()
