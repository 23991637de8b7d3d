"""Who knocks as a stranger: a table of bounded size, in which the persistent and the heavy stay.

While there is room, everybody who was sampled gets a row. Where there is none, rows are for those
who were sampled in the most minutes, and for those with the most samples of late. Who is sent away
is remembered by a hash, and comes back as one of two minutes. So a source is sure to get a row and
keep it that was sampled in two minutes, between which at most Doorkeeper's MOST others were sent
away, unless half of a gateway's rows are of more persistent ones; and one with samples enough in a
second, unless half of the rows have as many in two. Sources of one packet push nobody out.

Packets are estimates: of n samples, with a standard error of 1 / sqrt(n) of them at most.
"""

import secrets
from typing import NamedTuple

import numpy as np

from control.columns import Rows
from control.doorkeeper import Doorkeeper

MINUTE_NS = 60 * 10**9
# How many are kept: at one gateway, and in all (8 MiB).
PER_GATEWAY = 4_096
ALTOGETHER = 65_536
# What is left of the samples of late after a look.
_LEFT = 0.5
# Rows that were told of are free for others after so long without a sample.
KEPT_FOR_NS = 60 * MINUTE_NS

# A stranger is a source with one service. What it did since it was last told of stands beside
# what it did since it is here. Times are ns since 1970.
STRANGER = np.dtype(
    [
        ("hash", "u8"),
        ("number", "u8", 2),
        ("gateway", "u2"),
        ("port", "u2"),
        ("protocol", "u1"),
        ("version", "u1"),
        ("dropped", "?"),
        ("ever_dropped", "?"),
        ("since", "i8"),
        ("first", "i8"),
        ("last", "i8"),
        ("minute", "i8"),
        ("recent", "f8"),
        ("packets", "f8"),
        ("samples", "i8"),
        ("minutes", "i8"),
        ("all_packets", "f8"),
        ("all_samples", "i8"),
        ("all_minutes", "i8"),
    ]
)
_KNOWN_BY = ("number", "gateway", "port", "protocol", "version")
_ODD = np.uint64(1)


class Strangers:
    """Rows of STRANGER by hash. Whose hashes collide nobody outside can know."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, STRANGER)
        self._doorkeeper = Doorkeeper()
        self._secret = np.frombuffer(secrets.token_bytes(24), np.uint64) | _ODD

    def add(self, samples: Rows, weights: Rows, now: int) -> None:
        """SAMPLE rows, how many packets each stands for, and when all of that was, in ns."""
        self._add(self._fresh(samples, weights, now), now)

    def take(self) -> Rows:
        """Those with samples since this was last asked, the persistent and the heavy first."""
        taken = self.rows[self.rows["samples"] > 0]
        for name in ("packets", "samples", "minutes", "dropped"):
            self.rows[name] = 0
        return _by_weight(taken)

    def since_start(self) -> Rows:
        """All, as if nobody had been told of anything, in the same order."""
        rows = self.rows.copy()
        rows["first"], rows["dropped"] = rows["since"], rows["ever_dropped"]
        for name in ("packets", "samples", "minutes"):
            rows[name] = rows[f"all_{name}"]
        return _by_weight(rows)

    def forget(self, now: int) -> None:
        """Those who were told of, and have not been seen for long."""
        old = (self.rows["samples"] == 0) & (self.rows["last"] < now - KEPT_FOR_NS)
        self._keep(~old, now)

    def _fresh(self, samples: Rows, weights: Rows, now: int) -> Rows:
        """A row for each stranger among the samples."""
        hashes, first, of = np.unique(self._hash(samples), return_index=True, return_inverse=True)
        rows = np.zeros(len(hashes), STRANGER)
        for name in _KNOWN_BY:
            rows[name] = samples[name][first]
        rows["hash"] = hashes
        rows["since"] = rows["first"] = rows["last"] = now
        rows["minute"] = now // MINUTE_NS
        rows["packets"] = np.bincount(of, weights, len(hashes))
        rows["samples"] = np.bincount(of, minlength=len(hashes))
        rows["minutes"] = 1
        rows["dropped"] = np.bincount(of, samples["dropped"] != 0, len(hashes)) > 0
        for name in ("packets", "samples", "minutes"):
            rows[f"all_{name}"] = rows[name]
        rows["ever_dropped"], rows["recent"] = rows["dropped"], rows["samples"]
        return rows

    def _hash(self, samples: Rows) -> Rows:
        s = self._secret
        rest = samples["gateway"].astype(np.uint64) << np.uint64(32)
        rest |= samples["port"].astype(np.uint64) << np.uint64(16)
        rest |= samples["protocol"].astype(np.uint64) << np.uint64(8) | samples["version"]
        hashes: Rows = (samples["number"][:, 0] ^ s[0]) * s[1]
        hashes ^= hashes >> np.uint64(32)
        hashes = (hashes ^ samples["number"][:, 1]) * s[2]
        hashes ^= hashes >> np.uint64(29)
        hashes = (hashes ^ rest) * s[1]
        hashes ^= hashes >> np.uint64(32)
        return hashes

    def _add(self, fresh: Rows, now: int) -> None:
        at, there = _find(self.rows["hash"], fresh["hash"])
        known, at = fresh[there], at[there]
        same = self.rows["minute"][at] == now // MINUTE_NS
        known["minutes"] = known["all_minutes"] = ~same
        self.rows["recent"] *= _LEFT
        for name in ("recent", "all_packets", "all_samples", "all_minutes"):
            self.rows[name][at] += known[name]
        self.rows["ever_dropped"][at] |= known["dropped"]
        self.rows["minute"][at] = now // MINUTE_NS
        _merge(self.rows, at, known)
        new = fresh[~there]
        if len(new):
            back = self._doorkeeper.knows(new["hash"], now // MINUTE_NS)
            new["all_minutes"] += back
            rows = np.concatenate([self.rows, new])
            self.rows = rows[np.argsort(rows["hash"])]
            self._keep(_stay(self.rows), now)

    def _keep(self, which: Rows, now: int) -> None:
        if not which.all():
            self._doorkeeper.send_away(self.rows["hash"][~which], now // MINUTE_NS)
            self.rows = self.rows[which]


def _by_weight(rows: Rows) -> Rows:
    """The most persistent first, and of the same the heaviest."""
    return rows[np.lexsort((rows["since"], -rows["all_samples"], -rows["all_minutes"]))]


def _stay(rows: Rows) -> Rows:
    """Which rows there is room for."""
    persistent = _places(rows, -rows["all_samples"], -rows["all_minutes"])
    # One sample is what a newcomer has. If it counted, each would push out another.
    recent = np.where(rows["recent"] > 1, -rows["recent"], 0)
    heavy = _places(rows, -rows["all_minutes"], recent)
    # By turns from both, so that the first half of each is in.
    place = _places(rows, np.minimum(persistent, heavy))
    stay = place < PER_GATEWAY
    if stay.sum() > ALTOGETHER:
        order = np.argsort(place, kind="stable")
        stay[order[ALTOGETHER:]] = False
    return stay


def _places(rows: Rows, *least: Rows) -> Rows:
    """Of each among those of its gateway, from 0; by the last key first, and first comers first."""
    order = np.lexsort((rows["since"], *least, rows["gateway"]))
    numbers = rows["gateway"][order]
    places = np.empty(len(rows), np.int64)
    places[order] = np.arange(len(rows)) - np.searchsorted(numbers, numbers)
    return places


def _find(hashes: Rows, wanted: Rows) -> "_Found":
    """`hashes` are sorted."""
    if not len(hashes):
        return _Found(np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool))
    at = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
    return _Found(at, hashes[at] == wanted)


class _Found(NamedTuple):
    at: Rows
    there: Rows


def _merge(rows: Rows, at: Rows, more: Rows) -> None:
    """What they did since they were last told of, each of `at` once."""
    none = rows["samples"][at] == 0
    first = np.where(none, more["first"], np.minimum(rows["first"][at], more["first"]))
    rows["first"][at] = first
    rows["last"][at] = np.maximum(rows["last"][at], more["last"])
    for name in ("packets", "samples", "minutes"):
        rows[name][at] += more[name]
    rows["dropped"][at] |= more["dropped"]
