"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

Event = dict[str, Any]


def parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Each event's data, once its frame holds together."""
    frame: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
            continue
        if "data" in frame:
            event: Event = json.loads(frame["data"])
            assert (frame["id"], frame["event"]) == (str(event["id"]), event["type"])
            yield event
        frame = {}


@contextmanager
def following(client: httpx.Client, **query: object) -> Iterator[Iterator[Event]]:
    """A stream whose start was read: what happens from now on is in it."""
    params = {name: str(value) for name, value in query.items()}
    with client.stream("GET", "/v1/events", params=params) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"
        yield parsed(lines)
