"""The service is killed in the middle of an import: nothing that was answered is lost, and nothing
of the import is there."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Seed
from tests.api.process import DEADLINE, Process
from tests.api.test_audit import whole

MANY = 20_000
KEY = {"Accept": "application/x-ndjson", "Idempotency-Key": "once"}
APPROVED = {"state": "approved"}


@pytest.fixture
def begin(settings: Settings, seed: Seed) -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:

        def begin() -> Process:
            process = Process(settings, seed.tokens)
            stack.callback(process.end)
            process.wait_until_ready()
            return process

        yield begin


def lines(count: int) -> bytes:
    many = (
        peer(name=f"imported-{n}", sources=[f"2001:db8:{n >> 8:x}:{n & 255:x}::/64"])
        for n in range(count)
    )
    return b"".join(json.dumps(each).encode() + b"\n" for each in many)


def sent(admin: httpx.Client, body: bytes) -> Iterator[dict[str, Any]]:
    """What an import tells, line by line."""
    path = "/v1/peers/import"
    with admin.stream("POST", path, params=APPROVED, content=body, headers=KEY) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            yield json.loads(line)


def seen(admin: httpx.Client) -> dict[str, Any]:
    """All that a change leaves behind."""
    listed = admin.get("/v1/allowlist").json()
    last = admin.get("/v1/audit", params={"limit": 500}).json()["items"]
    found = admin.get("/v1/peers", params={"source": "2001:db8::/32"}).json()
    return {
        "revision": listed["revision"],
        "peers": sorted(each["name"] for each in listed["peers"]),
        "audit": len(last),
        "found": [each["name"] for each in found["items"]],
    }


def test_nothing_of_an_import_is_left_and_nothing_else_is_lost(
    begin: Callable[[], Process], settings: Settings
) -> None:
    process = begin()
    with process.client(Role.ADMIN) as admin:
        assert admin.post("/v1/gateways", json=gateway()).status_code == 201
        assert admin.post("/v1/peers", json=peer()).status_code == 201
        any_ = {"If-Match": "*"}
        assert admin.post("/v1/peers/1/approve", headers=any_).status_code == 200
        before = seen(admin)
        told = sent(admin, lines(MANY))
        # In the middle of what it writes.
        assert any(each.get("phase") == "write" and each["done"] for each in told)
        process.process.kill()
        with pytest.raises(httpx.TransportError):
            list(told)
    whole(settings)

    again = begin()
    with again.client(Role.ADMIN) as admin:
        assert seen(admin) == before
        assert before["peers"] == ["branch-7"]
        # It comes again with its key, once the database has let go of the one that was killed.
        end = time.monotonic() + DEADLINE
        while "problem" in (last := list(sent(admin, lines(300)))[-1]):
            assert last["problem"]["status"] == 503, last
            assert time.monotonic() < end
            time.sleep(0.1)
        assert last["result"]["peers"]["added"] == 300
        again.process.kill()
    whole(settings)

    with begin().client(Role.ADMIN) as admin:
        listed = admin.get("/v1/allowlist").json()
        assert len(listed["peers"]) == 301
        assert listed["revision"] == before["revision"] + 1
        # As it was answered before.
        assert list(sent(admin, lines(300)))[-1] == last
