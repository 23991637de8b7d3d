"""Snapshots: each written once, compressed, into a file without a name; then read by whoever asks.

No more than a few hundred peers are in memory at any time.
"""

import asyncio
import hashlib
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from anyio.to_thread import run_sync

from api.errors import GoneError
from api.feed import encoded
from api.feed.spans import Spans, view_name
from api.registry import allowlist
from api.registry.assigned import View
from api.registry.core import Registry
from api.shared import Shared
from api.signing import Signer, Statement
from policy.window import rfc3339

# Bytes of files that are kept, beside those that are still read: one for each group of routers
# that see the same. Each counts as so many at the least, for its descriptor.
_KEPT = 1 << 30
_LEAST = 4 << 20
# A router that goes on with changes anyway is content with one that is so old.
_AGE = 60.0
_KEPT_SECONDS = 24 * 3600.0
# A million peers in three seconds; the next level takes a third longer for a tenth less.
_LEVEL = 3
_GZIP = 16 + zlib.MAX_WBITS
_A_PART = 1 << 18


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """`size` is that of the compressed file, `length` that of the JSON in it. The file is closed
    when nobody has the snapshot any more."""

    view: View
    revision: int
    made: float
    descriptor: int
    size: int
    length: int
    registry: str
    time: str
    sha256: str

    @property
    def weight(self) -> int:
        return max(self.size, _LEAST)

    @property
    def etag(self) -> str:
        return f"{self.revision}-{self.sha256[:32]}"

    def compressed(self, first: int, last: int) -> Iterator[bytes]:
        """The file's bytes from `first` to before `last`."""
        while first < last:
            part = os.pread(self.descriptor, min(_A_PART, last - first), first)
            first += len(part)
            yield part

    def plain(self) -> Iterator[bytes]:
        inflating = zlib.decompressobj(_GZIP)
        for part in self.compressed(0, self.size):
            yield inflating.decompress(part)
        yield inflating.flush()


class SnapshotFeed:
    def __init__(self, registry: Registry, spans: Spans, signer: Signer) -> None:
        self._registry = registry
        self._spans = spans
        self._signer = signer
        self._snapshots: Shared[View, Snapshot] = Shared(_KEPT_SECONDS, _KEPT, attrgetter("weight"))
        self._one_at_a_time = asyncio.Semaphore(1)

    async def get(self, router: str | None, at_least: int | None = None) -> Snapshot:
        """The newest one for a router; or one not older than a minute, if it is at `at_least` or
        above: changes lead on from there."""
        if at_least is not None and (found := await self._older(router, at_least)) is not None:
            return found
        _, view = (await self._spans.get()).views(router)
        return await self._snapshots.get(view, lambda: self._make(view))

    def signed(self, snapshot: Snapshot, router: str | None) -> dict[str, str]:
        """The headers that make it this router's."""
        statement = Statement(
            registry=snapshot.registry,
            kind="snapshot",
            view=view_name(router),
            after=0,
            revision=snapshot.revision,
            time=snapshot.time,
            sha256=snapshot.sha256,
        )
        return self._signer.sign(statement)

    async def _older(self, router: str | None, at_least: int) -> Snapshot | None:
        since = asyncio.get_running_loop().time() - _AGE
        for snapshot in self._snapshots.kept():
            if snapshot.revision < at_least or snapshot.made < since:
                continue
            try:
                # What this router saw then: it may be another one's stage or part.
                seen, _ = (await self._spans.get(snapshot.revision)).views(router)
            except GoneError:
                continue
            if seen == snapshot.view:
                return snapshot
        return None

    async def _make(self, view: View) -> Snapshot:
        async with self._one_at_a_time:
            now = asyncio.get_running_loop().time()
            snapshot = await run_sync(self._made, view, now)
        # Of an earlier revision, and too old for those who are content with one.
        self._snapshots.drop(lambda old: old.revision < snapshot.revision and old.made < now - _AGE)
        return snapshot

    def _made(self, view: View, now: float) -> Snapshot:
        descriptor, name = tempfile.mkstemp(prefix="peergate-snapshot-")
        try:
            os.unlink(name)
            snapshot = self._written(descriptor, view, now)
        except BaseException:
            os.close(descriptor)
            raise
        weakref.finalize(snapshot, os.close, descriptor)
        return snapshot

    def _written(self, descriptor: int, view: View, now: float) -> Snapshot:
        deflating = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        digest, length = hashlib.sha256(), 0
        with (
            open(descriptor, "wb", closefd=False) as file,
            self._registry.read() as read,
        ):
            found = allowlist.snapshot(read, view)
            for part in encoded.snapshot(found):
                digest.update(part)
                length += len(part)
                file.write(deflating.compress(part))
            file.write(deflating.flush())
            size = file.tell()
        return Snapshot(
            view=view,
            revision=found.revision,
            made=now,
            descriptor=descriptor,
            size=size,
            length=length,
            registry=found.registry,
            time=rfc3339(found.time) or "",
            sha256=digest.hexdigest(),
        )
