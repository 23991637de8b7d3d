"""The registry as a whole: its database, its clock, and how a change becomes a revision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from api.errors import StaleError, VersionMissingError
from api.records import Head
from api.store import heads, notices
from api.store.engine import Connection, Store

Clock = Callable[[], datetime]


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


@dataclass(slots=True)
class Write:
    """One change of the registry, whole or not at all.

    What is touched here ends in the revision that the transaction writes, if anything is.
    """

    connection: Connection
    now: datetime
    author: str
    head: Head
    ended_kept: timedelta
    touched: set[tuple[str, str]] = field(default_factory=set)
    policy_changed: bool = False

    def touch_gateway(self, name: str) -> None:
        self.touched.add((heads.GATEWAY, name))
        self.policy_changed = True

    def touch_peer(self, number: int) -> None:
        self.touched.add((heads.PEER, str(number)))

    def rise_to(self, revision: int, cause: str) -> None:
        """The head goes to `revision`, and every router is sent to a snapshot."""
        self.head = heads.rise(
            self.connection,
            self.head,
            revision,
            now=self.now,
            author=self.author,
            cause=cause,
        )

    def lists(self, valid_until: datetime | None) -> bool:
        """Whether an approved peer of this validity is in the allowlist."""
        return valid_until is None or valid_until > self.now - self.ended_kept


class Registry:
    """`announce` is told of each new revision, after it is safe on disk."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ended_kept: timedelta,
        kept_revisions: int,
        announce: Callable[[int], None],
    ) -> None:
        self.store = store
        self.clock = clock
        self._ended_kept = ended_kept
        self._kept_revisions = kept_revisions
        self._announce = announce

    @contextmanager
    def read(self) -> Iterator[Read]:
        with self.store.read() as connection:
            yield Read(connection, self.clock(), heads.head(connection))

    @contextmanager
    def write(self, author: str, cause: str) -> Iterator[Write]:
        """A transaction that ends in a new revision if it touched the allowlist."""
        with self.store.write() as connection:
            before = heads.head(connection, lock=True)
            write = Write(connection, self.clock(), author, before, self._ended_kept)
            yield write
            self._close(write, cause)
            if write.head.revision > before.revision:
                notices.send(connection, write.head.revision)
        if write.head.revision > before.revision:
            self._announce(write.head.revision)

    def _close(self, write: Write, cause: str) -> None:
        if write.touched:
            write.head = heads.append(
                write.connection,
                write.head,
                write.touched,
                now=write.now,
                author=write.author,
                cause=cause,
                kept=self._kept_revisions,
            )
        if write.policy_changed:
            write.head = replace(write.head, policy_version=write.head.policy_version + 1)
        heads.save(write.connection, write.head)

    def revision(self) -> int:
        with self.store.read() as connection:
            return heads.head(connection).revision
