"""Before the loop: maps opened or adopted, the clock set, the last good allowlist in force."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from control import links, pins, state
from control.clock import Clock, read_clocks
from control.dataplane import DataPlane
from control.errors import DataPlaneError, LinkError, SnapshotError
from control.gate import Gate
from control.interfaces import look
from control.model import Allowlist
from control.policyfile import PolicyFile, Stamp
from control.settings import Settings
from control.sizes import Sizes
from control.snapshot import load_snapshot
from policy.errors import PolicyError
from policy.window import from_ns, to_ns

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What the loop goes on from."""

    gate: Gate
    snapshot: Allowlist | None
    file_stamp: Stamp | None


def start(settings: Settings, policy: Path | None) -> Start:
    """Open the data plane and fill it from what is at hand. Nothing is attached yet.

    Raises DataPlaneError (no privilege, no BPF), LinkError (no interface can take the program).
    """
    state_dir = settings.state_dir
    _check_interfaces(settings)
    snapshot = _snapshot(state_dir)
    clock = _clock(state_dir, snapshot)
    plane = _plane(settings)
    gate = Gate(plane, clock, settings.limits, state_dir)
    try:
        plane.set_clock(clock.offset)
        in_step = snapshot is not None
        filled = False
        if plane.adopted and plane.pin_dir is not None:
            filled = state.is_filled(state_dir, plane.pin_dir)
            gate.adopt(filled=filled)
        if filled:
            in_step = _in_step(state_dir, snapshot)
        else:
            state.forget_filled(state_dir)
        if snapshot is not None and in_step:
            log.info("starting from revision %d on disk", snapshot.revision)
            gate.offer(snapshot, guarded=False)
        stamp = None
        if policy is not None:
            stamp = _load_file(PolicyFile(policy, state_dir), gate)
    except BaseException:
        gate.close()
        raise
    return Start(gate, snapshot, stamp)


def _plane(settings: Settings) -> DataPlane:
    """What an agent before has left, or maps that grow with the first allowlist."""
    if pins.current(settings.bpffs) is None:
        return DataPlane.pinned(settings.bpffs, Sizes())
    return DataPlane.current(settings.bpffs)


def awaited(names: Iterable[str]) -> list[str]:
    """The interfaces that are not there yet: at boot a driver may be late."""
    return [name for name in names if not links.exists(name)]


def _check_interfaces(settings: Settings) -> None:
    """One interface at least can take the program, or may come; what hinders all is said."""
    if awaited(settings.interfaces):
        return
    programs = pins.Programs(settings.bpffs)
    found = [look(name, settings.attach, programs) for name in settings.interfaces]
    hindered = [state.error for state in found if state.error and not state.attached]
    if len(hindered) == len(settings.interfaces):
        raise LinkError("; ".join(hindered))


def _snapshot(state_dir: Path) -> Allowlist | None:
    try:
        return load_snapshot(state_dir)
    except SnapshotError as error:
        log.error("%s; going on without it", error.message)
        return None


def _in_step(state_dir: Path, snapshot: Allowlist | None) -> bool:
    """Whether the snapshot is what the adopted maps hold; else they are newer, and stay."""
    done = state.applied(state_dir)
    if snapshot is None or done is None:
        return False
    return (done.registry, done.revision) == (snapshot.registry, snapshot.revision)


def _clock(state_dir: Path, snapshot: Allowlist | None) -> Clock:
    reading = read_clocks()
    floor = max(state.saved_time(state_dir), 0 if snapshot is None else to_ns(snapshot.time))
    clock = Clock(reading, floor)
    if behind := clock.behind(reading):
        log.warning(
            "the wall clock is %.0f s behind what this router last saw: now is taken to be %s "
            "until it has caught up",
            behind / 1e9,
            from_ns(reading.monotonic + clock.offset).isoformat(timespec="seconds"),
        )
    return clock


def _load_file(file: PolicyFile, gate: Gate) -> Stamp | None:
    """Offer the policy file. Raises DataPlaneError where nothing else is in force either."""
    stamp = file.stamp()
    try:
        allowlist = file.load(from_ns(gate.now()))
    except PolicyError as error:
        file.log_refusal(error)
        if not gate.filled:
            raise DataPlaneError(
                f"{file.path} is refused, and there is no last good allowlist: mend the file"
            ) from None
        return stamp
    if not gate.offer(allowlist) and not gate.filled and gate.held is not None:
        raise DataPlaneError(gate.held.reason)
    return stamp
