"""The map of sources that found no slot in their bucket."""

import numpy as np

from control.columns import ENTRY, KEY, Rows
from control.hashing import CLASSES, GATEWAY_BITS
from control.maps import BpfMap


class Overflow:
    """The map, and a copy of what was written there: by key (struct pg_key), rows of pg_entry."""

    def __init__(self, table: BpfMap) -> None:
        self._table = table
        self._ours: dict[bytes, bytes] = {}
        self._seen_before: dict[bytes, int] = {}
        # By class.
        self.counts = [0] * len(CLASSES)

    def live(self) -> Rows:
        """All rows there; of what lies under another's key too."""
        return np.frombuffer(self._table.dump()[1], ENTRY)

    def held(self) -> Rows:
        return np.frombuffer(b"".join(self._ours.values()), ENTRY)

    def seen(self) -> tuple[Rows, Rows]:
        """Peers whose packets came since this was last asked, and their ticks."""
        if not self._ours:
            return np.zeros(0, np.uint32), np.zeros(0, np.uint8)
        rows = self.live()
        before, self._seen_before = self._seen_before, _ticks(rows)
        came = [tick != 0 and tick != before.get(key, 0) for key, tick in self._seen_before.items()]
        return rows["peer"][came], rows["seen"][came]

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
        for key, row in pairs[:done]:
            self.counts[_class_of(key)] += key not in self._ours
            self._ours[key] = row
        return rows[done:]

    def delete(self, keys: Rows) -> None:
        here = [key.tobytes() for key in keys[self.has(keys)]]
        self._table.delete(here)
        for key in here:
            del self._ours[key]
            self._seen_before.pop(key, None)
            self.counts[_class_of(key)] -= 1

    def adopt(self) -> int:
        """Take what is there for ours, but for what lies under another's key: how much that was."""
        keys, values = self._table.dump()
        under, rows = np.frombuffer(keys, KEY), np.frombuffer(values, ENTRY)
        right = (under == rows["key"]) & (under["class"] < len(CLASSES))
        right &= under["gateway"] <= (1 << GATEWAY_BITS) - 1
        self._table.delete([key.tobytes() for key in under[~right]])
        rows = rows[right]
        self._seen_before = _ticks(rows)
        rows["seen"] = 0
        self._ours = {row["key"].tobytes(): row.tobytes() for row in rows}
        self.counts = np.bincount(rows["key"]["class"], minlength=len(CLASSES)).tolist()
        return int((~right).sum())

    def check(self) -> int:
        """Repair what is not as it was written; how many rows were not."""
        keys, values = self._table.dump()
        rows = np.frombuffer(values, ENTRY).copy()
        rows["seen"] = 0
        under = np.frombuffer(keys, KEY)
        live = {key.tobytes(): row.tobytes() for key, row in zip(under, rows, strict=True)}
        strays = [key for key in live if key not in self._ours]
        wrong = [(key, row) for key, row in self._ours.items() if live.get(key) != row]
        self._table.delete(strays)
        self._table.write(wrong)
        return len(strays) + len(wrong)


def _class_of(key: bytes) -> int:
    return int(np.frombuffer(key, KEY)["class"][0])


def _ticks(rows: Rows) -> dict[bytes, int]:
    """Of each row, in their order, when it was seen."""
    keys = (key.tobytes() for key in rows["key"])
    return dict(zip(keys, rows["seen"].tolist(), strict=True))
