"""The registry as a whole: its database, its clock, and how a change becomes a revision."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from api.errors import StaleError, VersionMissingError
from api.event_types import EventType
from api.records import Actor, Gateway, Head, Json, Peer, Rollout
from api.registry import lasting
from api.registry.assigned import Assignments
from api.registry.events import News
from api.registry.foreseen import Foreseen
from api.registry.trail import Trail
from api.store import events, heads, log, notices
from api.store.engine import Connection, Store
from api.store.notices import Channel

Clock = Callable[[], datetime]

# The registry's own, who changes what nobody asked for just then.
ITSELF = Actor("peergate")

# What a change touches is held in memory up to so many.
_HELD = 10_000


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Expected:
    """The versions that a change is meant for, as its sender has seen them."""

    versions: frozenset[int] | None = None
    any_version: bool = False

    def check(self, version: int, what: str) -> None:
        if self.any_version:
            return
        if self.versions is None:
            raise VersionMissingError(
                f"say which version of {what} this change is meant for: send the ETag that "
                "you read in If-Match"
            )
        if version not in self.versions:
            raise StaleError(f"{what} has changed since you read it: read it again, then decide")


@dataclass(frozen=True, slots=True)
class Read:
    """One state of the registry."""

    connection: Connection
    now: datetime
    head: Head
    assignments: Assignments
    # Of a dry run that only reads: what it is told would change.
    foreseen: Foreseen | None = None


@dataclass(slots=True)
class Write:
    """One change of the registry, whole or not at all.

    What is touched here ends in the revision that the transaction writes, if anything is. What is
    recorded ends in the audit trail; a change without a record is not committed. `urgent`: it
    goes past a staged roll-out.
    """

    connection: Connection
    now: datetime
    actor: Actor
    head: Head
    ended_kept: timedelta
    trail: Trail
    cause: str
    touched: dict[log.Subject, log.Before] = field(default_factory=dict)
    policy_changed: bool = False
    urgent: bool = False
    begun: bool = False
    news: News = field(default_factory=News)
    # The number of the newest event, once they are written.
    told: int | None = None
    # Of a trial: all that it changes.
    foreseen: Foreseen | None = None

    @property
    def author(self) -> str:
        return self.actor.name

    def record(self, action: str, subject: str, before: object, after: object) -> None:
        """For the audit trail: `action` as in peer.approve, `subject` as in peer/17; of the
        subject all fields as they were and as they are, None where there is none."""
        if self.foreseen is not None:
            self.foreseen.note(before, after)
        self.trail.add(self.actor, action, subject, before, after)

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """What time has made of something is nobody's change, whoever comes upon it first."""
        whose, self.actor = self.actor, ITSELF
        try:
            yield
        finally:
            self.actor = whose

    def touch_gateway(self, name: str, before: Gateway | None) -> None:
        """`before` is what it was; None where it was not there."""
        self._touch(log.GATEWAY, name, before)
        self.policy_changed = True

    def touch_peer(self, number: int, before: Peer | None) -> None:
        listed = before is not None and before.listed
        self._touch(log.PEER, str(number), before if listed else None)

    def touch_router(self, name: str, before: Mapping[str, str]) -> None:
        """`before` is its labels."""
        self._touch(log.ROUTER, name, before)

    def _touch(self, kind: str, subject: str, before: log.Before) -> None:
        # In one revision, what it was before the first of its changes.
        self.touched.setdefault((kind, subject), before)
        if len(self.touched) >= _HELD:
            self.write_touched()

    def write_touched(self) -> None:
        """Into the log, under the coming revision. Once more than some are held, what is written
        then must not be touched again."""
        cause = f"{self.cause} (urgent)" if self.urgent else self.cause
        revision = self.head.revision + 1
        if not self.begun:
            log.begin(self.connection, revision, now=self.now, author=self.author, cause=cause)
            self.begun = True
        log.add(self.connection, revision, self.touched, urgent=self.urgent)
        self.touched.clear()

    @property
    def coming(self) -> Head:
        """The head as it will be, if nothing more is touched."""
        return replace(
            self.head,
            revision=self.head.revision + (bool(self.touched) or self.begun),
            policy_version=self.head.policy_version + self.policy_changed,
        )

    def set_rollout(self, rollout: Rollout | None) -> None:
        self._touch(log.ROLLOUT, log.ROLLOUT, self.head.rollout)
        self.head = replace(self.head, rollout=rollout)

    def hurry(self) -> None:
        """Past a staged roll-out, at once to all routers."""
        if not self.urgent and self.head.rollout is not None:
            self.urgent = True
            self.record("rollout.skip", "rollout", None, {"revision": self.head.revision + 1})

    def tell(
        self, type_: EventType, subject: object, content: Mapping[str, Json] | None = None
    ) -> None:
        """An event, which is heard when this is committed."""
        self.news.add(type_, subject, content, author=self.author)

    def rise_to(self, revision: int, cause: str) -> None:
        """The head goes to `revision`, and every router is sent to a snapshot, whoever follows the
        events to a new start.

        What waits for a release goes on waiting, and what was can still be gone back to.
        """
        then = {"revision": self.head.revision}
        self.record("registry.rise", "registry", then, {"revision": revision, "cause": cause})
        log.begin(self.connection, revision, now=self.now, author=self.author, cause=cause)
        self.head = replace(self.head, revision=revision, lifted=revision)
        self.news.leaps = True
        self.tell(EventType.REVISION_LIFTED, revision, {"cause": cause})

    def lists(self, valid_until: datetime | None) -> bool:
        """Whether an approved peer of this validity is in the allowlist."""
        return valid_until is None or valid_until > self.now - self.ended_kept


@dataclass(slots=True)
class Aside:
    """What is written beside the changes: nobody waits for it, it has no revision and no record."""

    connection: Connection
    now: datetime
    news: News = field(default_factory=News)

    def tell(
        self, type_: EventType, subject: object, content: Mapping[str, Json] | None = None
    ) -> None:
        self.news.add(type_, subject, content)


class _Undone(Exception):  # noqa: N818  # nothing went wrong
    """Ends a trial."""


class Registry:
    """`announce` is told of each new revision, `tell` of each event, and `changed` of how many
    records of each action a change has; once they are safe on disk."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ended_kept: timedelta,
        kept_revisions: int,
        announce: Callable[[int], None],
        tell: Callable[[int], None],
        changed: Callable[[Mapping[str, int]], None],
    ) -> None:
        self.store = store
        self.clock = clock
        self._ended_kept = ended_kept
        self._kept_revisions = kept_revisions
        self._announce = announce
        self._assignments = Assignments()
        self._tell = tell
        self._changed = changed

    @contextmanager
    def read(self) -> Iterator[Read]:
        with self.store.read() as connection:
            yield Read(connection, self.clock(), heads.head(connection), self._assignments)

    @contextmanager
    def write(self, actor: Actor, cause: str) -> Iterator[Write]:
        """A transaction that ends in a new revision if it touched the allowlist. Raises
        UnauthorizedError where the actor's token was revoked, or has expired, in the meantime."""
        with self.store.write() as connection:
            before = heads.head(connection, lock=True)
            lasting.check(connection, actor, self.clock())
            with self.writing(connection, before, actor, cause) as write:
                yield write
            if write.head.revision > before.revision:
                notices.send(connection, Channel.REVISION, write.head.revision)
        self._changed(write.trail.actions)
        if write.head.revision > before.revision:
            self._announce(write.head.revision)
        if write.told is not None:
            self._tell(write.told)

    @contextmanager
    def aside(self, author: str) -> Iterator[Aside]:
        """A transaction that waits for no other one. It may tell of events."""
        with self.store.write() as connection:
            aside = Aside(connection, self.clock())
            yield aside
            told = aside.news.save(connection, now=aside.now, author=author, revision=None)
        if told is not None:
            self._tell(told)

    @contextmanager
    def trial(self, actor: Actor) -> Iterator[Write]:
        """A change that is undone at the end of the block: what would become of it."""
        with suppress(_Undone), self.store.write() as connection:
            now = self.clock()
            trail = Trail(connection, now, actor)
            head = heads.head(connection, lock=True)
            write = Write(connection, now, actor, head, self._ended_kept, trail, "dry run")
            write.foreseen = Foreseen(now)
            yield write
            raise _Undone

    @contextmanager
    def writing(
        self, connection: Connection, head: Head, actor: Actor, cause: str
    ) -> Iterator[Write]:
        """The same, as a part of a transaction that locks the head or made it."""
        now = self.clock()
        trail = Trail(connection, now, actor)
        write = Write(connection, now, actor, head, self._ended_kept, trail, cause)
        yield write
        self._close(write)
        trail.close()
        risen = write.head.revision if write.head.revision > head.revision else None
        write.told = write.news.save(connection, now=now, author=write.author, revision=risen)

    def _close(self, write: Write) -> None:
        if write.touched or write.begun:
            self._append(write)
        if write.policy_changed:
            write.head = replace(write.head, policy_version=write.head.policy_version + 1)
        heads.save(write.connection, write.head)

    def _append(self, write: Write) -> None:
        """The next revision. Changes older than those to be kept are counted no more; upkeep
        deletes them."""
        head = write.head
        revision = head.revision + 1
        write.write_touched()
        # The routers that wait for a release hold an earlier state.
        released = revision if head.rollout is None else head.rollout.released
        floor = max(head.floor, min(revision - self._kept_revisions, released))
        write.head = replace(head, revision=revision, floor=floor)

    def newest(self) -> tuple[int, int]:
        """The numbers of the revision in force, and of the newest event."""
        with self.store.read() as connection:
            return heads.head(connection).revision, events.reach(connection).last
