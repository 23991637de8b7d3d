"""A snapshot on its way: decompressed and handed on as it comes, gone on with if it breaks off."""

import asyncio
import hashlib
import zlib
from collections.abc import Iterator, Mapping

from control.reader import SnapshotReader
from control.word import BadWordError

_GZIP = 16 + zlib.MAX_WBITS
# What is handed on at once: others get their turn after each.
_A_PART = 1 << 16


class Download:
    """`size` is what has come, as it came, and `reader` has its text; `sha256` is of the text;
    `headers` are those of the first answer."""

    def __init__(self) -> None:
        self._inflating: zlib._Decompress | None = None
        self._start_anew({})

    def _start_anew(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.reader = SnapshotReader()
        self.size = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def asking(self) -> dict[str, str]:
        """Headers of the next request."""
        headers = {"Accept-Encoding": "gzip"}
        if self.size and self._inflating is not None and "ETag" in self.headers:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": self.headers["ETag"]}
        return headers

    def begin(self, rest: bool, headers: Mapping[str, str]) -> None:
        """An answer, before its body; `rest`: it goes on where the last one ended. Else it is a
        whole one, and what had come before is forgotten.

        Raises BadWordError where it is another one, or cannot be read.
        """
        if rest:
            same = headers.get("ETag") == self.headers.get("ETag")
            if not same or not headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
                raise BadWordError("its rest is not of what had come before")
            return
        self._start_anew(headers)
        encoding = headers.get("Content-Encoding", "identity")
        self._inflating = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        if encoding not in ("gzip", "identity"):
            raise BadWordError(f"it is compressed in a way that was not asked for: {encoding:.20}")

    async def take(self, part: bytes) -> None:
        """Raises BadWordError."""
        self.size += len(part)
        for text in self._texts(part):
            await asyncio.to_thread(self._hand_on, text)

    def _hand_on(self, text: bytes) -> None:
        self._digest.update(text)
        self.reader.feed(text)

    def _texts(self, part: bytes) -> Iterator[bytes]:
        if self._inflating is None:
            yield from (part[at : at + _A_PART] for at in range(0, len(part), _A_PART))
            return
        try:
            while part and not self._inflating.eof:
                yield self._inflating.decompress(part, _A_PART)
                part = self._inflating.unconsumed_tail
        except zlib.error:
            raise BadWordError("it is damaged: it cannot be decompressed") from None

    async def end(self) -> None:
        """All has come. Raises BadWordError where it has not."""
        if self._inflating is None:
            return
        await asyncio.to_thread(self._hand_on, self._inflating.flush())
        if not self._inflating.eof:
            raise BadWordError("it was cut off")
