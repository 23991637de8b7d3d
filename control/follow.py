"""Follows the registry: a snapshot, then changes as they come, and again after trouble."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from control import state
from control.allowlist import Changes, advance
from control.errors import ControlError, RegistryError, UnreachableError
from control.model import Allowlist
from control.registry import RegistryClient, RevisionAhead
from control.trust import Trust
from control.word import Word
from policy.errors import PolicyError

log = logging.getLogger(__name__)

# Between attempts: doubles from the first to the last, less a random part, so that the
# routers do not come back in step. Whoever waits longest is back 20 s after the registry is.
FIRST_PAUSE = 1.0
LAST_PAUSE = 20.0
LEAST_PART = 0.25

# A whole snapshot now and then, whatever the changes said.
SNAPSHOT_EVERY = 3600.0

# By how much the clocks of a registry's processes may differ.
SKEW = timedelta(seconds=60)
# A word that is older by our clock when it comes: somebody else may answer with what he has heard.
LATE = timedelta(minutes=5)


class Gate(Protocol):
    """Where allowlists go: whole ones, and those that changes made of the last one."""

    async def offer(self, allowlist: Allowlist) -> None: ...

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None: ...


class Follower:
    """Brings the registry's allowlists, checked for where they come from, to the gate.

    `base` is what it goes on from: the allowlist in force, if that came from the registry.
    `heard` is when the registry said its newest word, by its own clock. `word` is its word on the
    newest allowlist that was taken; it outlives trouble, as a registry that was restored is shown
    by it where it had been. `trouble` is why it is not followed now.
    """

    def __init__(
        self,
        client: RegistryClient,
        state_dir: Path,
        gate: Gate,
        report: Callable[[], Awaitable[None]],
        trust: Trust,
        base: Allowlist | None = None,
        word: Word | None = None,
    ) -> None:
        # Also after a restart: the word that led to the base is on this router's disk.
        self.word = word if base is None else base.word
        self.heard = None if self.word is None else self.word.time
        self._client = client
        self._state_dir = state_dir
        self._gate = gate
        self._report = report
        self._trust = trust
        self._base = base
        # Routers that were started together do not ask for snapshots together.
        self._fetched = time.monotonic() - random.uniform(0.0, SNAPSHOT_EVERY)
        # A snapshot on its way while changes are followed, and those that came since.
        self._again: asyncio.Task[Allowlist] | None = None
        self._meanwhile: list[Changes] = []
        # The base was a snapshot a moment ago, by the registry as it is.
        self._begun = False
        self.trouble: str | None = None
        self._late = False

    async def run(self) -> None:
        """Never returns."""
        failures = 0
        while True:
            try:
                await self._step()
            except ControlError as error:
                # The registry's restart alone is no reason to fetch a whole snapshot.
                if not isinstance(error, UnreachableError):
                    self._start_anew()
                self._say(error.message)
                if isinstance(error, RevisionAhead):
                    await self._tell_revision()
                await self._pause(failures)
                failures += 1
            else:
                self._say(None)
                failures = 0

    def _start_anew(self) -> None:
        self._base = None
        if self._again is not None:
            self._again.cancel()
            self._again = None

    async def _step(self) -> None:
        if self._base is None:
            self._fetched = time.monotonic()
            await self._take(await self._snapshot())
            self._begun = True
            return
        if self._again is None and time.monotonic() - self._fetched > SNAPSHOT_EVERY:
            self._again = asyncio.create_task(self._snapshot())
            # Trouble with it is no news where there was other trouble before it was asked about.
            self._again.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._meanwhile = []
        heard = None if self._begun or self.word is None else self.word.time
        base, changes = self._base, await self._client.changes(self._base.revision, heard)
        self._begun = False
        await self._check_word(changes.word)
        if changes.registry != base.registry:
            raise RegistryError("another registry was accepted: its snapshot is fetched")
        views = {word.view for word in (base.word, changes.word) if word is not None}
        if len(views) > 1:
            raise RegistryError("the registry has another view for this router: it is fetched")
        if changes.revision != base.revision:
            allowlist = await asyncio.to_thread(_advance, base, changes)
            await self._check_revision(allowlist)
            if self._again is not None:
                self._meanwhile.append(changes)
            self._base, self.word = allowlist, allowlist.word
            await self._gate.follow(base, changes, allowlist)
        else:
            self.word = changes.word  # of the key in force
        if self._again is not None and self._again.done():
            await self._take_again(self._again)

    async def _snapshot(self) -> Allowlist:
        known = state.known_registry(self._state_dir)
        return await self._client.snapshot(0 if known is None else known.revision)

    async def _take(self, allowlist: Allowlist) -> None:
        await self._check(allowlist)
        self._base, self.word = allowlist, allowlist.word
        await self._gate.offer(allowlist)

    async def _take_again(self, fetched: "asyncio.Task[Allowlist]") -> None:
        """A snapshot that was fetched while changes were followed: with those made to it too."""
        self._again = None
        self._fetched = time.monotonic()
        allowlist = fetched.result()
        for changes in self._meanwhile:
            if changes.revision > allowlist.revision:
                # Changes say how it is at their end: it is no matter if some is in it already.
                later = replace(changes, after=allowlist.revision)
                allowlist = await asyncio.to_thread(_advance, allowlist, later)
        await self._take(allowlist)

    async def _check(self, allowlist: Allowlist) -> None:
        await self._check_word(allowlist.word)
        await self._check_revision(allowlist)

    async def _check_word(self, word: Word | None) -> None:
        """Whether it counts. Raises RegistryError."""
        assert word is not None  # the client makes sure of that
        self._check_registry(word.registry)
        if not self._trust.takes(word):
            # Rotated meanwhile, if the key that is known says so.
            endorsed = await self._client.endorsements()
            if not self._trust.takes(word, endorsed):
                raise RegistryError(
                    f"the registry signs with the key {word.key}, this router knows "
                    f"{self._trust.key(word)}: refused; if that is right, `peergate agent "
                    f"--accept-registry {word.registry} --registry-key {word.key}`"
                )
        if self.heard is not None and word.kind == "changes" and word.time < self.heard - SKEW:
            raise RegistryError(
                f"the registry's answer was signed at {word.time.isoformat()}, this router has "
                f"one of {self.heard.isoformat()}: refused, somebody repeats an old one"
            )
        if self.heard is None or word.time > self.heard:
            self.heard = word.time
        self._say_if_late(word)

    def _say_if_late(self, word: Word) -> None:
        late = word.kind == "changes" and datetime.now(UTC) - word.time > LATE
        if late and not self._late:
            log.warning(
                "the registry's newest word is of %s: our clock is wrong, or somebody else "
                "answers with old ones",
                word.time.isoformat(),
            )
        self._late = late

    def _check_registry(self, registry: str) -> None:
        known = state.known_registry(self._state_dir)
        if known is not None and registry != known.registry:
            raise RegistryError(
                f"the registry is {registry}, this router follows {known.registry}: refused; "
                f"if that is right, `peergate agent --accept-registry {registry}`"
            )

    async def _check_revision(self, allowlist: Allowlist) -> None:
        known = state.known_registry(self._state_dir)
        if known is not None and allowlist.revision < known.revision:
            await self._tell_revision()
            raise RegistryError(
                f"the registry is at revision {allowlist.revision}, this router had "
                f"{known.revision} already: refused; waiting until the registry is above that"
            )

    async def _tell_revision(self) -> None:
        """A restored registry goes on above the highest revision that it hears of."""
        try:
            await self._report()
        except RegistryError as error:
            self._say(error.message)

    def _say(self, trouble: str | None) -> None:
        """Log trouble when it comes, changes and goes."""
        if trouble == self.trouble:
            return
        if trouble is None:
            log.info("the registry is followed again", extra={"event": "registry.followed"})
        else:
            log.warning("%s; what is in force stays", trouble, extra={"event": "registry.lost"})
        self.trouble = trouble

    async def _pause(self, failures: int) -> None:
        """Wait longer each time, but not past the moment that another registry is accepted."""
        longest = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        until = time.monotonic() + longest * random.uniform(LEAST_PART, 1.0)
        known = state.known_registry(self._state_dir)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 1.0))
            if state.known_registry(self._state_dir) != known:
                return


def _advance(base: Allowlist, changes: Changes) -> Allowlist:
    try:
        return advance(base, changes)
    except PolicyError as error:
        raise RegistryError(f"the registry's changes are refused: {error.problems[0]}") from None
