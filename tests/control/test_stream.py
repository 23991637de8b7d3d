"""An answer that goes on, as httpx hands it over."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from control.stream import NDJSON, Said, Stream
from control.word import BadWordError

LONG = 60.0


def line(number: int, **more: object) -> str:
    said = {"statement": f"s{number}", "signature": "k g", "spread": 0.5, "changes": "{}"}
    return json.dumps({**said, **more}) + "\n"


def stream(content: str, media_type: str = NDJSON, after: int = 7) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 50):
            yield content[at : at + 50].encode()

    response = httpx.Response(200, headers={"Content-Type": media_type}, content=pieces())
    return Stream(response, AsyncExitStack(), after)


async def read(stream: Stream, count: int) -> list[Said | None]:
    return [await stream.next() for _ in range(count)]


def test_line_by_line_until_it_ends() -> None:
    made = stream(line(1) + line(2, unknown=1, asked=7))
    one, two, end = asyncio.run(read(made, 3))
    assert end is None
    assert one is not None
    assert two is not None
    assert (one.body, dict(one.headers)) == (
        b"{}",
        {
            "Peergate-Statement": "s1",
            "Peergate-Signature": "k g",
            "Peergate-Spread": "0.5",
            "Peergate-Asked": "0",
        },
    )
    assert two.headers["Peergate-Statement"] == "s2"
    assert two.headers["Peergate-Asked"] == "7"
    assert not made.follows(7, LONG)


@pytest.mark.parametrize("wrong", ["no json\n", "[]\n", line(1, changes=1), line(1)[:40]])
def test_a_line_that_is_none(wrong: str) -> None:
    with pytest.raises(BadWordError, match="cannot be read"):
        asyncio.run(read(stream(wrong), 1))


def test_a_whole_answer_is_one() -> None:
    made = stream('{"revision": 9}', "application/json")
    assert made.follows(7, LONG)
    (said,) = asyncio.run(read(made, 1))
    assert said is not None
    assert said.body == b'{"revision": 9}'
    assert not made.follows(7, LONG)


def test_it_goes_on_from_where_it_was_read() -> None:
    made = stream(line(1) + line(2))
    asyncio.run(read(made, 1))
    assert made.follows(7, LONG)
    assert not made.follows(8, LONG)
    # What lay unread since then may be older than what came by another way.
    assert not made.follows(7, 0.0)
