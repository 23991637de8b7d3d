"""What is in force on this router: allowlists go in, differences go into the maps.

Holds back what must not be applied: what does not fit, and what would remove too
much without having been accepted (DESIGN.md, promise 6). Every call blocks; the agent
makes one at a time.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from control import state
from control.clock import Clock, read_clocks
from control.dataplane import DataPlane
from control.errors import DataPlaneError, SnapshotError
from control.model import Allowlist, Difference, Tables
from control.plan import (
    check_room,
    difference,
    need_of,
    numbers_in,
    removes_too_much,
    rows_in,
    sources_cut_off,
    tables_at,
    timetable_of,
)
from control.resolve import Timetable
from control.sizes import Limits, Sizes
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
        self.wanted = Tables()
        self.filled = False
        # When `retime` has a later window to write, in ns since 1970.
        self.due = FOREVER_NS
        self._limits = limits
        self._state_dir = state_dir
        self._times = Timetable(())
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
        self.plane.delete_strays()
        self.wanted = self.plane.tables()
        self.filled = filled
        log.info("adopted the maps of the agent before: %d entries", len(self.wanted.entries))

    def offer(self, allowlist: Allowlist, *, guarded: bool = True) -> bool:
        """Apply an allowlist, or hold it; whether it is in force now.

        Not `guarded`: what the maps hold is no measure, it should have been this allowlist.
        """
        now = self.now()
        times = timetable_of(allowlist)
        tables = tables_at(allowlist, times, numbers_in(self.wanted), now)
        accepted = False
        try:
            check_room(tables, self._limits)
            if guarded and self.filled and removes_too_much(self.wanted, tables, now):
                cut_off, of = sources_cut_off(self.wanted, tables, now)
                accepted = self._is_accepted(allowlist.revision, cut_off)
                if not accepted:
                    self._hold_removal(allowlist, cut_off, of)
                    return False
            rows = self._write(tables)
        except DataPlaneError as error:
            self._hold(Held(allowlist, f"revision {allowlist.revision} refused: {error.message}"))
            return False
        self._put_in_force(allowlist, times, rows)
        self._set_due(now)
        if accepted:
            try:
                state.use_up_removal(self._state_dir)
            except SnapshotError as error:
                log.error("%s", error.message)
        return True

    def _put_in_force(self, allowlist: Allowlist, times: Timetable, rows: int) -> None:
        before, self.applied, self._times = self.applied, allowlist, times
        if not self.filled:
            self.filled = True
            self._mark_filled()
        self.held = None
        self._cut_off_at.clear()
        if before is None or before.revision != allowlist.revision or rows:
            log.info(
                "revision %d of %s is in force: %d entries, %d rows written or deleted",
                allowlist.revision,
                allowlist.registry,
                len(self.wanted.entries),
                rows,
            )
        self._remember()

    def _mark_filled(self) -> None:
        assert self.plane.pin_dir is not None
        try:
            state.mark_filled(self._state_dir, self.plane.pin_dir)
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
            log.error("%s; what was in force stays", held.reason)
        self.held = held
        self._remember()

    def _remember(self) -> None:
        """Note on disk what is in force. A full disk must not keep a change out of the maps."""
        if self.applied is None:
            return
        registry, revision = self.applied.registry, self.applied.revision
        held = None if self.held is None else self.held.reason
        try:
            state.remember_applied(self._state_dir, state.Applied(registry, revision, held))
            # Not while another one's first allowlist is held: it may have been accepted just now.
            if self.held is None and registry != state.NO_REGISTRY:
                state.remember_registry(self._state_dir, state.Known(registry, revision))
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
        log.info("the removal in revision %d was accepted", held.allowlist.revision)
        return self.offer(held.allowlist)

    def retime(self) -> None:
        """Write the windows that count now: one has ended, or the clock was stepped."""
        now = self.now()
        self.due = now + RETRY_NS
        if self.applied is None:
            return
        tables = tables_at(self.applied, self._times, numbers_in(self.wanted), now)
        if rows := self._write(tables):
            log.info("%d entries have another window now", rows)
        self._set_due(now)

    def _set_due(self, now: int) -> None:
        change = self._times.next_change(now)
        self.due = FOREVER_NS if change is None else change

    def verify(self) -> int:
        """Repair what differs between maps and allowlist; how many rows did."""
        if not self.filled:
            return 0
        strays = self.plane.delete_strays()
        change = difference(self.plane.tables(), self.wanted)
        if not (rows := strays + rows_in(change)):
            return 0
        self.plane.apply(change)
        self.repairs += rows
        log.warning("maps differed from the allowlist in %d rows: repaired", rows)
        return rows

    def keep_time(self) -> int:
        """Keep the maps' clock true; by how many ns it has jumped."""
        jump = self.clock.step(read_clocks())
        for plane in (self.plane, *self.outgrown):
            if plane.clock() != self.clock.offset:
                plane.set_clock(self.clock.offset)
            plane.keep_tick()
        if jump:
            log.warning(
                "the wall clock was stepped by %.3f s: now is %s",
                jump / 1e9,
                from_ns(self.now()).isoformat(timespec="seconds"),
            )
        return jump

    def _write(self, tables: Tables) -> int:
        """Make the maps hold `tables`; where that fails, what they held before."""
        change = difference(self.wanted, tables)
        need = need_of(tables)
        if not self.plane.sizes.hold(need):
            self._grow(self.plane.sizes.grown(need), tables)
        else:
            try:
                self.plane.apply(change)
            except DataPlaneError:
                self.plane.apply(difference(self.plane.tables(), self.wanted))
                raise
        self.wanted = tables
        self._follow_on()
        return rows_in(change)

    def _grow(self, sizes: Sizes, tables: Tables) -> None:
        """Go on with larger tables, as an upgrade does: filled first, then put in place."""
        larger = self.plane.larger(sizes)
        try:
            larger.apply(Difference(write=tables))
            larger.put_in_place()
        except BaseException:
            larger.remove()
            raise
        before, self.plane = self.plane, larger
        if self.filled:
            self._mark_filled()
            self.outgrown.append(before)
        else:
            before.remove()
        taken = sizes.bytes(os.cpu_count() or 1) / 1024
        log.info("tables made anew, for more: they take %.0f KiB", taken)

    def _follow_on(self) -> None:
        """What packets are judged by where the larger tables are not attached yet."""
        for plane in self.outgrown:
            try:
                plane.apply(difference(plane.tables(), self.wanted))
            except DataPlaneError as error:
                log.debug("outgrown: %s", error.message)

    def drop_outgrown(self) -> None:
        """Once every interface has the program over the larger tables; their pins stay."""
        while self.outgrown:
            self.outgrown.pop().close()

    def close(self) -> None:
        """What is attached stays in force."""
        self.drop_outgrown()
        self.plane.close()
