"""Changes line by line: what one answer after the other would say, on one request."""

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import httpx

from api.feed import changes as feed
from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Seed
from tests.api.issuer import AUDIENCE, issuing
from tests.api.process import DEADLINE, Process

CHANGES = "/v1/allowlist/changes"
NDJSON = "application/x-ndjson"
# Of another process: what is quiet says so each second.
QUIET = 1


@contextmanager
def following(client: httpx.Client, after: int) -> Iterator[Iterator[dict[str, Any]]]:
    query = {"after": after, "wait": QUIET}
    with client.stream("GET", CHANGES, params=query, headers={"Accept": NDJSON}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["Content-Type"] == NDJSON
        yield map(json.loads, response.iter_lines())


def news(lines: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """The next line that has any: what it says, held against what is signed."""
    while True:
        line = next(lines)
        said = json.loads(line["statement"])
        changes: dict[str, Any] = json.loads(line["changes"])
        assert said["kind"] == "changes"
        assert (said["after"], said["revision"]) == (changes["after"], changes["revision"])
        assert said["sha256"] == hashlib.sha256(line["changes"].encode()).hexdigest()
        if changes["revision"] != changes["after"]:
            return changes


def test_each_change_is_a_line(process: Process) -> None:
    with process.client(Role.ADMIN) as admin, process.client(Role.AGENT) as agent:
        admin.post("/v1/gateways", json=gateway())
        with following(agent, 0) as lines:
            # What there is comes at once.
            assert set(news(lines)["gateways"]) == {"hub"}
            for number in range(1, 6):
                admin.post("/v1/peers", json=peer(name=f"p-{number}"))
                admin.post(f"/v1/peers/{number}/approve", headers={"If-Match": "*"})
                told = news(lines)
                assert (told["after"], told["revision"]) == (number, number + 1)
                asked = agent.get(CHANGES, params={"after": number})
                assert asked.headers["Content-Type"] == "application/json"
                assert told["peers"] == asked.json()["peers"]
                assert list(told["peers"]) == [str(number)]


def test_it_says_that_there_is_nothing(process: Process) -> None:
    with process.client(Role.AGENT) as agent, following(agent, 0) as lines:
        said = [json.loads(next(lines)["statement"]) for _ in range(3)]
    assert {(each["after"], each["revision"]) for each in said} == {(0, 0)}
    times = [each["time"] for each in said]
    assert times == sorted(set(times))


def test_it_ends_with_its_token(process: Process) -> None:
    with process.client(Role.ADMIN) as admin:
        issued = admin.post("/v1/tokens", json={"name": "edge-9", "role": "agent"}).json()
        headers = {"Authorization": f"Bearer {issued['token']}"}
        with httpx.Client(base_url=process.url, headers=headers, timeout=DEADLINE) as agent:
            with following(agent, 0) as lines:
                next(lines)
                admin.delete(f"/v1/tokens/{issued['id']}")
                assert len(list(lines)) <= DEADLINE / QUIET
            # Whoever was let in is known for half a second more.
            end = time.monotonic() + DEADLINE
            while agent.get(CHANGES, params={"after": 0}).status_code != 401:
                assert time.monotonic() < end
                time.sleep(0.1)


def test_it_ends_with_a_token_of_an_identity_provider(settings: Settings, seed: Seed) -> None:
    with issuing() as issuer:
        issuer.add("a", "RS256")
        process = Process(
            settings,
            seed.tokens,
            PEERGATE_OIDC_ISSUER=issuer.url,
            PEERGATE_OIDC_AUDIENCE=AUDIENCE,
            PEERGATE_OIDC_ROLES="viewers=viewer",
        )
        try:
            process.wait_until_ready()
            end = int(time.time()) + 5
            headers = {"Authorization": f"Bearer {issuer.token('a', exp=end)}"}
            with httpx.Client(base_url=process.url, headers=headers, timeout=DEADLINE) as viewer:
                with following(viewer, 0) as lines:
                    assert len(list(islice(lines, 40))) < 40
                assert time.time() >= end - 0.1  # a timer may be early by its clock's step
        finally:
            process.end()


def test_what_is_too_long_for_a_line_is_asked_for_by_itself(process: Process) -> None:
    with process.client(Role.ADMIN) as admin, process.client(Role.AGENT) as agent:
        with following(agent, 0) as lines:
            next(lines)
            admin.post("/v1/gateways", json=gateway())
            after = news(lines)["revision"]
            many = "".join(f"{json.dumps(peer(name=f'p-{n}'))}\n" for n in range(200))
            headers = {"Content-Type": NDJSON}
            imported = admin.post(
                "/v1/peers/import", params={"state": "approved"}, content=many, headers=headers
            )
            assert imported.status_code == 200, imported.text
            assert len(list(lines)) <= DEADLINE / QUIET  # it ends
        query = {"after": after}
        answer = agent.get(CHANGES, params=query, headers={"Accept": f"{NDJSON}, */*"})
        assert answer.headers["Content-Type"] == "application/json"
        assert len(answer.content) > feed._LONGEST_LINE
        assert len(answer.json()["peers"]) == 200


def test_it_ends_with_the_service(process: Process) -> None:
    with process.client(Role.AGENT) as agent, following(agent, 0) as lines:
        next(lines)
        process.process.send_signal(signal.SIGTERM)
        assert len(list(lines)) <= DEADLINE / QUIET
        assert process.process.wait(DEADLINE) == 0
