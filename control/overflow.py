"""The map of sources that found no slot in their bucket."""

import numpy as np

from control.columns import ENTRY, KEY, Rows
from control.entries import equal
from control.maps import BpfMap


class Overflow:
    """The map, and a copy of what was written there: by key (struct pg_key), rows of pg_entry."""

    def __init__(self, table: BpfMap) -> None:
        self._table = table
        self._ours: dict[bytes, bytes] = {}

    def live(self) -> Rows:
        """All rows there; of what lies under another's key too."""
        return np.frombuffer(self._table.dump()[1], ENTRY)

    def held(self) -> Rows:
        return np.frombuffer(b"".join(self._ours.values()), ENTRY)

    def has(self, keys: Rows) -> Rows:
        """Which of these keys are here."""
        if not self._ours:
            return np.zeros(len(keys), bool)
        return np.fromiter((key.tobytes() in self._ours for key in keys), bool, len(keys))

    def find(self, keys: Rows) -> Rows:
        """What was written under these keys, as far as they are here."""
        found = (self._ours.get(key.tobytes()) for key in keys) if self._ours else ()
        return np.frombuffer(b"".join(row for row in found if row is not None), ENTRY)

    def write(self, rows: Rows) -> Rows:
        """Those that found no room come back."""
        pairs = [(row["key"].tobytes(), row.tobytes()) for row in rows]
        done = self._table.write(pairs)
        self._ours.update(pairs[:done])
        return rows[done:]

    def delete(self, keys: Rows) -> None:
        here = [key.tobytes() for key in keys[self.has(keys)]]
        self._table.delete(here)
        for key in here:
            del self._ours[key]

    def adopt(self) -> int:
        """Take what is there for ours, but for what lies under another's key: how much that was."""
        keys, values = self._table.dump()
        under, rows = np.frombuffer(keys, KEY), np.frombuffer(values, ENTRY)
        right = under == rows["key"]
        self._table.delete([key.tobytes() for key in under[~right]])
        self._ours = {row["key"].tobytes(): row.tobytes() for row in rows[right]}
        return int((~right).sum())

    def check(self) -> int:
        """Repair what is not as it was written; how many rows were not."""
        keys, values = self._table.dump()
        live = np.frombuffer(values, ENTRY)
        found = {key.tobytes(): i for i, key in enumerate(np.frombuffer(keys, KEY))}
        strays = [key for key in found if key not in self._ours]
        self._table.delete(strays)
        there = [key for key in self._ours if key in found]
        ours = np.frombuffer(b"".join(map(self._ours.__getitem__, there)), ENTRY)
        rows = live[[found[key] for key in there]]
        same = equal(rows, ours) & (rows["key"] == ours["key"])
        lacking = [key for key in self._ours if key not in found]
        wrong = [*lacking, *(key for key, right in zip(there, same, strict=True) if not right)]
        self._table.write([(key, self._ours[key]) for key in wrong])
        return len(strays) + len(wrong)
