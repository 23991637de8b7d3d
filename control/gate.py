"""What is in force on this router: allowlists go in, differences go into the maps.

Holds back what must not be applied: what does not fit, and what would remove too
much without having been accepted (DESIGN.md, promise 6). Every call blocks; the agent
makes one at a time.
"""

import logging
import os
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from control import state
from control.allowlist import Changes
from control.clock import Clock, read_clocks
from control.columns import key_rows, placed
from control.dataplane import DataPlane
from control.errors import DataPlaneError, SnapshotError
from control.model import Allowlist, Difference, Peer, Tables
from control.pairs import Pairs
from control.peers import Peers, pairs_of
from control.plan import (
    GUARDED_REMOVAL,
    check_room,
    cut_off,
    difference,
    is_too_much,
    layout,
    living,
    need_of,
    numbers_in,
)
from control.registered import Registered
from control.resolve import Timetable, timetable
from control.sizes import Limits, Need, less, plus
from policy.window import FOREVER_NS, from_ns

log = logging.getLogger(__name__)

# After a later window could not be written.
RETRY_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """An allowlist that is not applied, and why. `cut_off` is 0 where it simply does not fit."""

    allowlist: Allowlist
    reason: str
    cut_off: int = 0


class Gate:
    """The maps of one router and the allowlist that they hold."""

    def __init__(self, plane: DataPlane, clock: Clock, limits: Limits, state_dir: Path) -> None:
        self.plane = plane
        # Smaller tables before, still written to until no interface has their program.
        self.outgrown: list[DataPlane] = []
        self.clock = clock
        self.applied: Allowlist | None = None
        self.held: Held | None = None
        self.repairs = 0
        self.filled = False
        # When `retime` has a later window to write, in ns since 1970.
        self.due = FOREVER_NS
        self._limits = limits
        self._state_dir = state_dir
        # Of what is in force: who is registered where, at which numbers, and what is to come.
        self._registered = Registered(Pairs.none())
        self._numbers: dict[str, tuple[int, ...]] = {}
        self._later = Timetable()
        # While a removal is held: how much it cut off at each revision that was held.
        self._cut_off_at: dict[int, int] = {}

    def now(self) -> int:
        """UTC in ns, as the maps have it."""
        return self.clock.now(time.monotonic_ns())

    def adopt(self, *, filled: bool) -> None:
        """Take over maps made before, also those that an agent was killed while it filled.

        What they hold is where differences start from, and the memory of gateway numbers.
        Raises DataPlaneError.
        """
        self.plane.adopt()
        self.filled = filled
        log.info("adopted the maps of the agent before: %d entries", sum(self.plane.counts()))

    def offer(self, allowlist: Allowlist, *, guarded: bool = True) -> bool:
        """Apply an allowlist, or hold it; whether it is in force now.

        Not `guarded`: what the maps hold is no measure, it should have been this allowlist.
        """
        now = self.now()
        try:
            made = layout(allowlist.gateways, numbers_in(Tables(*self.plane.guarded())))
            registered = Registered(pairs_of(allowlist.peers, made.numbers))
            times = timetable(registered.everything())
            wanted, later = Tables(made.gateways, made.targets, times.at(now)), times.several()
            del times
            applied = self._apply(allowlist, self.plane.held(), wanted, now, guarded=guarded)
        except DataPlaneError as error:
            self._hold(Held(allowlist, f"revision {allowlist.revision} refused: {error.message}"))
            return False
        if applied:
            self._numbers, self._registered, self._later = made.numbers, registered, later
            self._set_due(now)
        return applied

    def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> bool:
        """As `offer` of the allowlist that `changes` made of `base`, where the maps hold that.

        It costs what the changes are worth, not what the allowlist is.
        """
        if self.applied is not base or self.held is not None or changes.gateways:
            return self.offer(allowlist)
        now, peers = self.now(), Peers.of(base.peers)
        gone = self._pairs(map(peers.get, changes.peers))
        come = self._pairs(changes.peers.values())
        self._registered.change(gone, come)
        applied = False
        try:
            touched = np.unique(np.concatenate([gone.keys, come.keys]))
            times = timetable(self._registered.around(touched))
            keys = np.union1d(times.entries.keys_sorted, gone.keys)
            before = Tables(entries=self.plane.find(key_rows(placed(keys))))
            applied = self._apply(allowlist, before, Tables(entries=times.at(now)), now)
        except DataPlaneError as error:
            self._hold(Held(allowlist, f"revision {allowlist.revision} refused: {error.message}"))
            return False
        finally:
            if not applied:
                self._registered.change(come, gone)
        if applied:
            self._later = self._later.with_changes(keys, times.several())
            self._set_due(now)
            self._registered.fold()
        return applied

    def _pairs(self, peers: Iterable[Peer | None]) -> Pairs:
        return Pairs.of((peer for peer in peers if peer is not None), self._numbers)

    def _apply(
        self, allowlist: Allowlist, before: Tables, after: Tables, now: int, *, guarded: bool = True
    ) -> bool:
        """Turn this part of the maps into that, unless it has to wait. Raises DataPlaneError."""
        held, replaced = self.plane.counts(), before.entries.counts()
        beside = less(held, replaced)
        check_room(after, self._limits, beside)
        accepted = False
        cut = cut_off(before.entries, after.entries, now) if guarded and self.filled else 0
        if cut >= GUARDED_REMOVAL:
            of = int(living(self.plane.held().entries, now).sum())
            if is_too_much(cut, of):
                accepted = self._is_accepted(allowlist.revision, cut)
                if not accepted:
                    self._hold_removal(allowlist, cut, of)
                    return False
        # What goes stands until all that comes is written.
        gone = before.entries.without(after.entries).counts()
        need = need_of(after, plus(beside, gone))
        if not self.plane.sizes.hold(need):
            self._grow(need)
        self._put_in_force(allowlist, self._write(before, after))
        if accepted:
            try:
                state.use_up_removal(self._state_dir)
            except SnapshotError as error:
                log.error("%s", error.message)
        return True

    def _put_in_force(self, allowlist: Allowlist, rows: int) -> None:
        before, self.applied = self.applied, allowlist
        if not self.filled:
            self.filled = True
            self._mark_filled()
            self._say_size("tables")
        self.held = None
        self._cut_off_at.clear()
        if before is None or before.revision != allowlist.revision or rows:
            log.info(
                "revision %d of %s is in force: %d entries, %d rows written or deleted",
                allowlist.revision,
                allowlist.registry,
                sum(self.plane.counts()),
                rows,
                extra={
                    "event": "allowlist.applied",
                    "registry": allowlist.registry,
                    "revision": allowlist.revision,
                    "rows": rows,
                },
            )
        self._remember()

    def _say_size(self, what: str) -> None:
        taken = self.plane.sizes.bytes(os.cpu_count() or 1)
        log.info("%s: they take %.0f KiB", what, taken / 1024)

    def _mark_filled(self, *soon: DataPlane) -> None:
        """`soon`: those that get their names next."""
        try:
            state.mark_filled(self._state_dir, *(each.place for each in (self.plane, *soon)))
        except SnapshotError as error:
            log.error("%s", error.message)

    def _hold_removal(self, allowlist: Allowlist, cut_off: int, of: int) -> None:
        self._cut_off_at[allowlist.revision] = cut_off
        reason = (
            f"revision {allowlist.revision} would remove {cut_off} of {of} sources: held until "
            f"`peergate agent --accept-removal {allowlist.revision}`"
        )
        self._hold(Held(allowlist, reason, cut_off))

    def _hold(self, held: Held) -> None:
        if self.held is None or self.held.reason != held.reason:
            said = {"event": "allowlist.held", "revision": held.allowlist.revision}
            log.error("%s; what was in force stays", held.reason, extra=said)
        self.held = held
        self._remember()

    def _remember(self) -> None:
        """Note what is in force. A full disk must not keep a change out of the maps."""
        if self.applied is None:
            return
        held = None if self.held is None else self.held.reason
        done = state.Applied(self.applied.registry, self.applied.revision, held)
        try:
            state.remember_applied(self._state_dir, done)
        except SnapshotError as error:
            log.error("%s", error.message)

    def remember(self) -> None:
        """Have on the disk what is in force. It may wait for the disk: no change waits for it."""
        applied = self.applied
        if applied is None:
            return
        try:
            state.flush_applied(self._state_dir)
            # Not while another one's first allowlist is held: it may have been accepted just now.
            if self.held is None and applied.registry != state.NO_REGISTRY:
                known = state.known_registry(self._state_dir)
                if known is None or known.registry == applied.registry:
                    now = state.Known(applied.registry, applied.revision)
                    state.remember_registry(self._state_dir, now)
        except SnapshotError as error:
            log.error("%s", error.message)

    def _is_accepted(self, revision: int, cut_off: int) -> bool:
        """Accepted is this revision, or an earlier one of this hold that cut off no less."""
        accepted = state.accepted_removal(self._state_dir)
        if accepted is None:
            return False
        return accepted == revision or self._cut_off_at.get(accepted, -1) >= cut_off

    def reconsider(self) -> bool:
        """Offer what is held again, if its removal was accepted since; whether it is in force."""
        held = self.held
        if held is None or not held.cut_off:
            return False
        if not self._is_accepted(held.allowlist.revision, held.cut_off):
            return False
        said = {"event": "removal.accepted", "revision": held.allowlist.revision}
        log.info("the removal in revision %d was accepted", held.allowlist.revision, extra=said)
        return self.offer(held.allowlist)

    def retime(self) -> None:
        """Write the windows that count now: one has ended, or the clock was stepped."""
        now = self.now()
        self.due = now + RETRY_NS
        if self.applied is None:
            return
        after = self._later.at(now)
        before = self.plane.find(after.rows["key"])
        if rows := self._write(Tables(entries=before), Tables(entries=after)):
            log.info("%d entries have another window now", rows)
        self._set_due(now)

    def _set_due(self, now: int) -> None:
        change = self._later.next_change(now)
        self.due = FOREVER_NS if change is None else change

    def verify(self) -> Iterator[None]:
        """Repair what differs between maps and allowlist, in steps of a few milliseconds.

        Between two of them anything else may be done.
        """
        rows, plane = 0, self.plane
        for repaired in plane.check() if self.filled else ():
            rows += repaired
            self.repairs += repaired
            yield
            if plane is not self.plane:
                break  # outgrown meanwhile; and perhaps closed
        if rows:
            said = {"event": "maps.repaired", "rows": rows}
            log.warning("maps differed from the allowlist in %d rows: repaired", rows, extra=said)

    def keep_time(self) -> int:
        """Keep the maps' clock true; by how many ns it has jumped."""
        jump = self.clock.step(read_clocks())
        for plane in (self.plane, *self.outgrown):
            if plane.clock() != self.clock.offset:
                plane.set_clock(self.clock.offset)
            plane.keep_tick()
        if jump:
            whose = (
                "the registry's clock is followed"
                if self.clock.follows_registry
                else ("the wall clock was stepped")
            )
            now = from_ns(self.now()).isoformat(timespec="seconds")
            said = {"event": "clock.jumped", "seconds": jump / 1e9}
            log.warning("%s, by %.3f s: now is %s", whose, jump / 1e9, now, extra=said)
        return jump

    def _write(self, before: Tables, after: Tables) -> int:
        """Make this part of the maps hold `after`; where that fails, what it held before."""
        change, applied = difference(before, after), self.applied
        try:
            self.plane.apply(change)
        except DataPlaneError:
            self.applied = None  # so that a whole allowlist is next, should this fail too
            self.plane.apply(difference(after, before))
            self.applied = applied
            raise
        for plane in self.outgrown:
            try:
                plane.apply(change)
            except DataPlaneError as error:
                log.debug("tables before: %s", error.message)
        return len(change)

    def _grow(self, need: Need) -> None:
        """Go on with larger tables, as an upgrade does: what is held first, then put in place."""
        sizes = self.plane.sizes.grown(need)
        larger = self.plane.larger(sizes)
        try:
            larger.apply(Difference(write=self.plane.held()))
            if self.filled:  # by either name, wherever this ends
                self._mark_filled(larger)
            larger.put_in_place()
        except BaseException:
            larger.remove()
            raise
        before, self.plane = self.plane, larger
        if self.filled or before.adopted:  # its program may be attached
            self.outgrown.append(before)
        else:
            before.remove()
        if self.filled:
            self._mark_filled()
            self._say_size("larger tables")

    def drop_outgrown(self, attached: Container[int]) -> None:
        """Those whose program is not among these any more; their pins stay."""
        for plane in [each for each in self.outgrown if each.program_id not in attached]:
            self.outgrown.remove(plane)
            plane.close()

    def close(self) -> None:
        """What is attached stays in force."""
        self.drop_outgrown(())
        self.plane.close()
