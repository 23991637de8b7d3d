"""The configured uplinks: our program on each of them, and what stands in the way."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from control import links
from control.errors import ControlError, LinkError
from control.pins import Programs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """One uplink as it was last read back; `attach` is what was asked for."""

    name: str
    attach: links.Attach
    program: int | None = None
    error: str | None = None

    @property
    def attached(self) -> bool:
        return self.program is not None


class Uplinks:
    """Keeps one program attached to the configured interfaces.

    `leased` is the id of another one that may be in its place for now.
    """

    def __init__(
        self,
        names: Iterable[str],
        attach: links.Attach,
        programs: Programs,
        leased: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._attach = attach
        self._programs = programs
        self._leased = leased
        self._had_lease = False
        # The last one that was: it may sit there still when its time is over.
        self._lent: int | None = None
        self.states = tuple(InterfaceState(name, attach) for name in names)
        # How often it was not there any more, and nobody asked for that.
        self.put_back = 0

    def ensure_attached(self, program_fd: int, *, frags: bool = False) -> bool:
        """Whether our program sits on every interface now. Logs what has changed.

        `frags`: it takes frames of several buffers.
        """
        try:
            # Before it is attached: killed in between, we must know it again.
            self._programs.keep(program_fd)
        except ControlError as error:
            self.states = tuple(self._failed(state, error) for state in self.states)
            return False
        before = self.states
        self.states = tuple(self._ensure(state, program_fd, frags) for state in before)
        if self.states != before:
            self._drop_unused(program_fd)
        return all(state.attached for state in self.states)

    def lapsed(self) -> bool:
        """Whether there was a lease when this was last asked, and is none now."""
        had, self._had_lease = self._had_lease, self._leased() is not None
        return had and not self._had_lease

    def _drop_unused(self, program_fd: int) -> None:
        """Let go of programs of agents before that sit nowhere any more."""
        try:
            attached = {program for each in links.attachments() for _, program in each.programs}
            self._programs.drop(attached | {links.program_id(program_fd)})
        except ControlError as error:
            log.error("%s", error.message)

    def _ensure(self, before: InterfaceState, program_fd: int, frags: bool) -> InterfaceState:
        name = before.name
        try:
            if before.attached and self._is_leased(name):
                return before
            sat = links.attachment(name).programs if before.attached else None
            found = links.ensure_attached(
                name, program_fd, self._attach, self._programs, frags=frags
            )
        except ControlError as error:
            return self._failed(before, self._with_new_name(name, error))
        program = found.program(self._attach)
        if before.error is not None:
            said = {"event": "interface.attached", "interface": name}
            how = program, self._attach
            log.info("%s: in order again: program %s is attached, %s", name, *how, extra=said)
        if sat is not None and sat != ((before.attach, before.program),):
            self._note_return(before, lent=sat == ((self._attach, self._lent),))
        return InterfaceState(name, self._attach, program)

    def _note_return(self, before: InterfaceState, *, lent: bool) -> None:
        """`lent`: by our leave, and packets were judged all the while."""
        what = before.name, before.program
        if lent:
            said = {"event": "interface.capture-ended", "interface": before.name}
            log.info("%s: a capture did not end itself: program %s is back", *what, extra=said)
            return
        self.put_back += 1
        said = {"event": "interface.put-back", "interface": before.name}
        log.warning("%s: program %s was taken off: it is put back", *what, extra=said)

    def _is_leased(self, name: str) -> bool:
        leased = self._leased()
        if leased is None or links.attachment(name).programs != ((self._attach, leased),):
            return False
        self._had_lease, self._lent = True, leased
        return True

    def _with_new_name(self, name: str, error: ControlError) -> ControlError:
        """A program stays with its device, whatever that is called."""
        if links.exists(name):
            return error
        try:
            configured = {
                links.attachment(state.name).index
                for state in self.states
                if links.exists(state.name)
            }
            for other in links.attachments():
                for _, program in other.programs:
                    if other.index not in configured and self._programs.is_ours(program):
                        return LinkError(
                            f"{name}: there is no such interface, but {other.interface} carries "
                            f"our program {program} and is not among `interfaces`: if it was "
                            "renamed, packets are judged there still; put its new name into "
                            "`interfaces`, or rename it back"
                        )
        except ControlError:
            log.debug("what became of %s cannot be told", name, exc_info=True)
        return error

    def _failed(self, before: InterfaceState, error: ControlError) -> InterfaceState:
        if error.message != before.error:
            said = {"event": "interface.failed", "interface": before.name}
            log.error("%s", error.message, extra=said)
        return InterfaceState(before.name, self._attach, error=error.message)


def look(name: str, attach: links.Attach, programs: Programs) -> InterfaceState:
    """What sits on an interface now, changing nothing."""
    try:
        found = links.attachment(name)
        foreign = links.foreign(found, programs)
    except ControlError as error:
        return InterfaceState(name, attach, error=error.message)
    if foreign is not None:
        return InterfaceState(name, attach, error=foreign.message)
    for mode, program in found.programs:
        wrong = f"{name}: program {program} is attached {mode}, not {attach}"
        return InterfaceState(name, attach, program, None if mode == attach else wrong)
    return InterfaceState(name, attach)
