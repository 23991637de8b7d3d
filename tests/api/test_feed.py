"""What routers are fed with: made and signed once for all, compressed, and begun anew cheaply."""

import asyncio
import gzip
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api import signing
from api.feed.snapshots import Snapshot, SnapshotFeed
from api.records import Role
from api.registry.assigned import View
from api.registry.core import utc_now
from api.settings import Settings
from api.shared import Shared
from tests.api.bodies import NOW, gateway, text
from tests.api.client import Client
from tests.api.conftest import Service
from tests.api.process import Process
from tests.api.test_watch import until_waiting

CHANGES = "/v1/allowlist/changes"


def plain(service: Service, **headers: str) -> Any:  # noqa: ANN401  # a response
    sent = {"Accept-Encoding": "identity", **headers}
    return service.agent.get("/v1/allowlist", headers=sent)


def raw(process: Process, **headers: str) -> httpx.Response:
    """The compressed one; `content` is what came over the wire."""
    with (
        process.client(Role.AGENT) as client,
        client.stream("GET", "/v1/allowlist", headers=headers) as response,
    ):
        response._content = b"".join(response.iter_raw())
    return response


def test_a_crowd_is_given_one_answer(service: Service) -> None:
    """Signed but once: it has the same time, also where that has passed."""
    query = {"after": 0, "wait": 60}
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(service.agent.get, CHANGES, params=query) for _ in range(8)]
        until_waiting(service, 8)
        service.add_gateway()
        answers = [each.result(20) for each in waiting]
    assert {each.json()["revision"] for each in answers} == {1}
    assert len({each.headers["Peergate-Signature"] for each in answers}) == 1
    assert answers[0].headers["Peergate-Spread"] == "0.08"


def test_what_is_made_is_shared_but_errors_are_not_kept() -> None:
    made: list[int] = []

    async def run() -> None:
        shared: Shared[str, int] = Shared(60, 2)
        release = asyncio.Event()

        async def make() -> int:
            made.append(len(made))
            await release.wait()
            return made[-1]

        async def fail() -> int:
            raise ValueError("no luck")

        asked = [asyncio.create_task(shared.get("a", make)) for _ in range(5)]
        await asyncio.sleep(0)
        asked.pop().cancel()
        release.set()
        assert await asyncio.gather(*asked) == [0] * 4
        assert await shared.get("a", make) == 0
        for _ in range(2):
            with pytest.raises(ValueError, match="no luck"):
                await shared.get("b", fail)
        assert await shared.get("b", make) == 1
        assert await shared.get("c", make) == 2
        assert await shared.get("a", make) == 3  # there is room for two

    asyncio.run(run())


def test_what_many_wait_for_is_not_let_go() -> None:
    made: list[str] = []

    async def run() -> None:
        shared: Shared[str, str] = Shared(60, 6, len)
        release = asyncio.Event()

        async def get(key: str) -> str:
            async def make() -> str:
                made.append(key)
                await release.wait()
                return key

            return await shared.get(key, make)

        asked = [asyncio.create_task(get(key)) for key in ("aaa", "bbb", "ccc", "ddd") * 2]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*asked)
        assert made == ["aaa", "bbb", "ccc", "ddd"]
        # By weight, those that were used last; one that is too heavy alone is kept as well.
        assert shared.kept() == ["ddd", "ccc"]
        await get("ccc")
        await get("e")
        assert shared.kept() == ["e", "ccc"]
        await get("f" * 7)
        assert shared.kept() == ["f" * 7]
        shared.drop(lambda value: len(value) == 7)
        assert shared.kept() == []

    asyncio.run(run())


def test_one_snapshot_is_made_for_each_group_of_routers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[View] = []
    right = SnapshotFeed._made

    def counted(self: SnapshotFeed, view: View, now: float) -> Snapshot:
        made.append(view)
        return right(self, view, now)

    monkeypatch.setattr(SnapshotFeed, "_made", counted)
    routers = []
    for site in range(6):
        labels = {"site": f"s{site}"}
        service.add_gateway(f"g{site}", addresses=[f"198.51.100.{site + 1}"], routers=labels)
        routers += [service.add_router(f"r{site}-{number}", **labels) for number in range(2)]
    for _ in range(2):
        with ThreadPoolExecutor(12) as pool:
            asking = [
                pool.submit(each.get, "/v1/allowlist") for each in routers[::2] + routers[1::2]
            ]
            assert {each.result(20).status_code for each in asking} == {200}
        assert len(made) == len(set(made)) == 6


def test_a_statement_is_about_the_body(service: Service) -> None:
    service.add_gateway()
    service.add_peer()
    found = plain(service)
    said = json.loads(found.headers["Peergate-Statement"])
    assert said == {
        "registry": found.json()["registry"],
        "kind": "snapshot",
        "view": "router/edge-1",
        "after": 0,
        "revision": 2,
        "time": text(NOW),
        "sha256": hashlib.sha256(found.content).hexdigest(),
    }
    answer = service.agent.get(CHANGES, params={"after": 1})
    said = json.loads(answer.headers["Peergate-Statement"])
    assert (said["kind"], said["after"], said["revision"]) == ("changes", 1, 2)
    assert said["sha256"] == hashlib.sha256(answer.content).hexdigest()


def test_a_snapshot_says_what_the_changes_say(service: Service) -> None:
    """One is put together by hand, the other is not."""
    service.add_gateway()
    service.add_peer(name="plain")
    service.add_peer(
        name="odd",
        owner='A "quoted" \\ owner',
        purpose="Zürich, 東京",
        sources=["203.0.113.0/27", "2001:db8:7::/48"],
        valid_from=text(NOW),
        valid_until=text(NOW + timedelta(days=3, microseconds=5)),
    )
    whole = service.agent.get("/v1/allowlist").json()
    assert len(whole["peers"]) == 2
    changed = service.agent.get(CHANGES, params={"after": 0}).json()
    assert changed["peers"] == {str(peer["id"]): peer for peer in whole["peers"]}


def test_compressed_it_is_the_same_and_can_be_gone_on_with(process: Process) -> None:
    with process.client(Role.ADMIN) as admin:
        admin.post("/v1/gateways", json=gateway())
        whole = admin.get("/v1/allowlist", headers={"Accept-Encoding": "identity"}).content
    first = raw(process)
    assert gzip.decompress(first.content) == whole
    etag, total = first.headers["ETag"], len(first.content)
    rest = raw(process, **{"Range": "bytes=20-", "If-Range": etag})
    assert rest.status_code == 206
    assert rest.headers["Content-Range"] == f"bytes 20-{total - 1}/{total}"
    assert rest.content == first.content[20:]
    other = raw(process, **{"Range": "bytes=20-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_what_has_not_changed_is_not_sent_again(service: Service) -> None:
    service.add_gateway()
    etag = plain(service).headers["ETag"]
    same = plain(service, **{"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")
    service.add_peer()
    assert plain(service, **{"If-None-Match": etag}).status_code == 200


def test_an_older_one_will_do_where_changes_are_followed(service: Service) -> None:
    service.add_gateway()
    old = plain(service)
    service.add_peer()
    for at_least, revision in ((0, 1), (1, 1), (2, 2), (None, 2)):
        query = {} if at_least is None else {"at_least": at_least}
        found = service.agent.get("/v1/allowlist", params=query)
        assert found.json()["revision"] == revision, at_least
        if revision == 1:
            assert found.content == old.content
        # The newest one is made by the third.


def test_a_revoked_token_stops_within_a_second(service: Service) -> None:
    issued = service.admin.post("/v1/tokens", json={"name": "edge-9", "role": "agent"}).json()
    client = Client(service.agent._portal, service.app, issued["token"])
    assert client.get("/v1/allowlist").status_code == 200
    service.admin.delete(f"/v1/tokens/{issued['id']}")
    # It is looked at twice a second: asked for a second, it ends inside.
    query = {"after": 0, "wait": 0.1}
    answers = [client.get(CHANGES, params=query).status_code for _ in range(10)]
    assert answers[-1] == 401


def test_an_expired_token_stops_at_once(service: Service) -> None:
    wanted = {"name": "edge-9", "role": "agent", "expires": text(NOW + timedelta(hours=1))}
    issued = service.admin.post("/v1/tokens", json=wanted).json()
    client = Client(service.agent._portal, service.app, issued["token"])
    assert client.get("/v1/allowlist").status_code == 200
    service.clock.pass_time(timedelta(hours=1))
    assert client.get("/v1/allowlist").status_code == 401


def test_a_key_is_taken_up_where_it_was_rotated(process: Process, settings: Settings) -> None:
    kept = settings.key_file.read_bytes()
    try:
        with process.client(Role.AGENT) as client:
            old = client.get("/v1/allowlist").headers["Peergate-Signature"].split()[0]
            assert signing.rotate(settings.key_file, utc_now())[0] == old
            new = signing.public(settings.key_file)
            # A second, and what was made until then.
            query = {"after": 0, "wait": 1.5}
            client.get(CHANGES, params=query)
            client.get(CHANGES, params=query)
            shown = client.get("/v1/allowlist/keys").json()
            assert shown["key"] == new != old
            said = json.loads(shown["endorsements"][-1]["statement"])
            assert (said["key"], said["by"]) == (new, old)
            signed = client.get(CHANGES, params={"after": 0}).headers["Peergate-Signature"]
            assert signed.split()[0] == new
    finally:
        settings.key_file.write_bytes(kept)
