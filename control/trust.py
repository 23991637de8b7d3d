"""Whose word a router takes: the key that it met first or was told, and those which that endorsed.

It stands in `keys.json` in the state directory, beside the registry's id.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from control import state
from control.errors import RegistryError
from control.word import Endorsement, Word
from policy.window import rfc3339

KEYS = "keys.json"


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one registry: the key in force, and those before it until their words end. `told` is
    the one in the settings that this began with, if it did."""

    registry: str
    key: str
    before: tuple[tuple[str, datetime], ...] = ()
    told: str | None = None

    def take(self, key: str, now: datetime) -> bool:
        return key == self.key or any(key == old and now < until for old, until in self.before)

    def after(self, endorsements: Iterable[Endorsement]) -> "Keys":
        """With those that follow from the one in force."""
        keys = self
        for each in endorsements:
            if each.by == keys.key:
                keys = replace(keys, key=each.key, before=(*keys.before, (each.by, each.until)))
        return keys


class Trust:
    """`told` is the setting `registry_key`; None pins the key of the first contact."""

    def __init__(self, state_dir: Path, told: str | None = None) -> None:
        self._state_dir = state_dir
        self._told = told

    def takes(self, word: Word, endorsements: Iterable[Endorsement] = ()) -> bool:
        """Whether the word counts, and remember its key if it does.

        Raises RegistryError where what is remembered is damaged.
        """
        held = load(self._state_dir)
        start = self._start(held, word).after(endorsements)
        if not start.take(word.key, datetime.now(UTC)):
            return False
        if start != held:
            save(self._state_dir, start)
        return True

    def key(self, word: Word) -> str:
        """The one that is expected of the word's registry."""
        return self._start(load(self._state_dir), word).key

    def _start(self, held: Keys | None, word: Word) -> Keys:
        if held is None or held.registry != word.registry:
            return Keys(word.registry, self._told or word.key, (), self._told)
        if self._told is not None and held.told != self._told:
            return Keys(word.registry, self._told, (), self._told)
        return held


def load(state_dir: Path) -> Keys | None:
    """None before the first contact. Raises RegistryError where the file is damaged: a router
    must not take the next best key because of a bad disk."""
    path = state_dir / KEYS
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        before = tuple(
            (str(key), datetime.fromisoformat(until)) for key, until in content["before"]
        )
        return Keys(str(content["registry"]), str(content["key"]), before, content["told"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise RegistryError(
            f"{path}: damaged: `peergate agent --accept-registry ID --registry-key KEY` mends it; "
            "`peergate api key show` on the registry's side shows the key"
        ) from None


def save(state_dir: Path, keys: Keys) -> None:
    """Raises SnapshotError."""
    content = {
        "registry": keys.registry,
        "key": keys.key,
        "before": [(key, rfc3339(until)) for key, until in keys.before],
        "told": keys.told,
    }
    state.write_atomically(state_dir / KEYS, json.dumps(content).encode() + b"\n")


def accept(state_dir: Path, registry: str, key: str | None) -> None:
    """From now on this key is the registry's; without one, that of the next contact."""
    if key is None:
        state.remove(state_dir / KEYS)
    else:
        save(state_dir, Keys(registry, key))
