"""Who is registered where, kept up with changes without going through all of it."""

import numpy as np

from control import columns
from control.columns import HIGH_MASK, LOW_MASK, Rows
from control.pairs import Pairs

# With so many changes on top, the two parts are made one again: a change sorts into the small
# part, and what is looked up is looked up in both.
FOLD_AT = 4_096

_BEHIND_ALL = 255  # as a length


class Registered:
    """All registrations in two parts: a large one that stays as it is, and what came since."""

    def __init__(self, pairs: Pairs) -> None:
        self._large = pairs
        self._gone = np.zeros(len(pairs), bool)
        self._gone_count = 0
        self._small = Pairs.none()
        place = columns.placed(pairs.keys)
        # By family, which lengths there are, or have been.
        self._lengths = {
            family: np.bincount(place["length"][place["family"] == family], minlength=129) > 0
            for family in (4, 6)
        }

    def change(self, gone: Pairs, come: Pairs) -> None:
        """Take out and put in; what is to go was put in before."""
        at = self._large.find(gone)
        self._gone_count += len(at) - int(self._gone[at].sum())
        self._gone[at] = True
        kept = np.ones(len(self._small), bool)
        kept[self._small.find(gone)] = False
        self._small = self._small.only(kept).with_more(come)
        place = columns.placed(come.keys)
        for family, lengths in self._lengths.items():
            lengths[place["length"][place["family"] == family]] = True

    def around(self, keys: Rows) -> Pairs:
        """All that decides at these keys and at what they cover."""
        if not len(keys):
            return Pairs.none()
        place = columns.placed(keys)
        first = np.concatenate([keys, columns.sortable(self._wider(place))])
        last = np.concatenate([columns.sortable(_last_in(place)), first[len(keys) :]])
        at = self._large.between(first, last)
        found = self._large.only(at[~self._gone[at]])
        return found.with_more(self._small.only(self._small.between(first, last)))

    def everything(self) -> Pairs:
        """All in one part, which it stays."""
        if len(self._small) or self._gone_count:
            self._large = self._large.only(~self._gone).with_more(self._small)
            self._gone = np.zeros(len(self._large), bool)
            self._gone_count = 0
            self._small = Pairs.none()
        return self._large

    def fold(self) -> None:
        """Keep the small part small."""
        if len(self._small) + self._gone_count > FOLD_AT:
            self.everything()

    def _wider(self, place: Rows) -> Rows:
        """Every prefix that may be registered and covers one of these."""
        wider = []
        for family, lengths in self._lengths.items():
            ours = place[place["family"] == family]
            if len(ours):
                there = np.flatnonzero(lengths)
                wider.append(_cut(np.repeat(ours, len(there)), np.tile(there, len(ours))))
        return np.concatenate(wider)


def _cut(place: Rows, length: Rows) -> Rows:
    """The prefixes of these lengths that cover these, where they are wider."""
    place, length = place[length < place["length"]], length[length < place["length"]]
    place["high"] &= HIGH_MASK[length]
    place["low"] &= LOW_MASK[length]
    place["length"] = length
    return place


def _last_in(place: Rows) -> Rows:
    """What sorts right behind all that these cover."""
    last = place.copy()
    last["high"] = place["high"] | ~HIGH_MASK[place["length"]]
    last["low"] = place["low"] | ~LOW_MASK[place["length"]]
    last["length"] = _BEHIND_ALL
    return last
