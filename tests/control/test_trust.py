"""Whose word is taken: forged, cut off, repeated or another's, an answer is refused."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control import state, trust
from control.allowlist import Changes
from control.errors import ControlError, RegistryError
from control.follow import Follower
from control.model import Allowlist
from control.registry import RegistryClient
from control.snapshot import load_snapshot, save_snapshot
from control.trust import Trust
from tests.control.edge import peer
from tests.control.registry_server import ONE, OTHER, TOKEN, Key, Registry, listen

A, B = (peer(name, f"203.0.113.{n}") for n, name in enumerate("ab", 1))


class Router:
    """A follower that is taken one step at a time, and what it brought to its gate."""

    def __init__(self, registry: Registry, url: str, directory: Path) -> None:
        self.registry = registry
        self._url = url
        self._directory = directory
        self._told: str | None = None
        self._base: Allowlist | None = None
        self.names: list[str] = []
        self.heard: datetime | None = None

    async def offer(self, allowlist: Allowlist) -> None:
        self._base = allowlist
        self.names = sorted(each.name for each in allowlist.peers)
        known = state.Known(allowlist.registry, allowlist.revision)
        state.remember_registry(self._directory, known)

    async def follow(self, base: Allowlist, changes: Changes, allowlist: Allowlist) -> None:
        await self.offer(allowlist)

    def told(self, key: str) -> None:
        self._told = key

    def step(self) -> None:
        """What one request brings. Raises RegistryError where it is refused."""

        async def nothing() -> None:
            pass

        async def step() -> None:
            async with RegistryClient(
                self._url, self._directory / "token", router="edge-1"
            ) as client:
                known = Trust(self._directory, self._told)
                follower = Follower(client, self._directory, self, nothing, known, self._base)
                if self.heard is not None:
                    follower.heard = self.heard
                await follower._step()
                self.heard = follower.heard

        asyncio.run(step())

    def forget(self) -> None:
        self._base = None

    def restart(self) -> None:
        """It knows what is on its disk."""
        assert self._base is not None
        save_snapshot(self._directory, self._base)
        self._base = load_snapshot(self._directory)
        self.heard = None


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    (tmp_path / "token").write_text(TOKEN)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made,
        Registry(listen(made, "127.0.0.1", 0)) as registry,
    ):
        registry.set([A])
        yield Router(registry, f"http://127.0.0.1:{made.getsockname()[1]}", tmp_path)


def ahead(router: Router) -> None:
    """It has the first revision, and there is a second one."""
    router.step()
    assert router.names == ["a"]
    router.registry.set([A, B])


def test_signed_changes_are_taken(router: Router) -> None:
    ahead(router)
    router.step()
    assert router.names == ["a", "b"]


@pytest.mark.parametrize("at_first", [True, False])
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"registry": OTHER}, "registry or revision are not those that were signed"),
        ({"revision": 9}, "registry or revision are not those that were signed"),
        ({"kind": "other"}, "its statement cannot be read"),
        ({"after": 7}, "what is signed is the answer to another question"),
        ({"view": "router/edge-2"}, "it is another router's"),
        ({"sha256": "0" * 64}, "it is not what was signed, or was cut off"),
    ],
)
def test_what_was_signed_must_be_this_answer(
    router: Router, said: dict[str, object], why: str, at_first: bool
) -> None:
    if not at_first:
        ahead(router)
    router.registry.said = said
    with pytest.raises(RegistryError, match=why):
        router.step()
    assert router.names == ([] if at_first else ["a"])


def test_a_snapshot_is_no_answer_for_changes(router: Router) -> None:
    ahead(router)
    router.registry.said = {"kind": "snapshot", "after": 0}
    with pytest.raises(RegistryError, match="another question"):
        router.step()


def test_a_body_that_was_touched_is_refused(router: Router) -> None:
    body = json.dumps(router.registry.snapshot()).encode()
    headers = router.registry.signed(body, None)
    router.registry.raw = body.replace(b"203.0.113.1", b"203.0.113.9")
    router.registry.signed = lambda *_: headers  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="not what was signed"):
        router.step()
    assert router.names == []


def test_a_signature_by_nobody_is_refused(router: Router) -> None:
    ahead(router)
    forger = Key()
    forger.public, router.registry.key = router.registry.key.public, forger
    with pytest.raises(RegistryError, match="the signature is wrong"):
        router.step()


def test_an_answer_without_a_word_is_refused(router: Router) -> None:
    ahead(router)
    router.registry.signed = lambda *_: {}  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="it is not signed"):
        router.step()


def test_another_key_is_refused_until_it_is_accepted(router: Router, tmp_path: Path) -> None:
    ahead(router)
    first, router.registry.key = router.registry.key, Key()
    with pytest.raises(RegistryError, match=r"this router knows .*--accept-registry") as refused:
        router.step()
    assert first.public in refused.value.message
    assert router.registry.key.public in refused.value.message
    state.accept_registry(tmp_path, ONE)
    trust.accept(tmp_path, ONE, router.registry.key.public)
    router.step()
    assert router.names == ["a", "b"]


def test_accepted_without_a_key_the_next_one_is_pinned(router: Router, tmp_path: Path) -> None:
    ahead(router)
    router.registry.key = Key()
    trust.accept(tmp_path, ONE, None)
    router.step()
    router.registry.key = Key()
    router.registry.set([B])
    with pytest.raises(RegistryError, match="this router knows"):
        router.step()


def test_a_key_that_was_told_is_the_only_one(router: Router) -> None:
    right, router.registry.key = router.registry.key, Key()
    router.told(right.public)
    with pytest.raises(RegistryError, match="this router knows"):
        router.step()
    router.registry.key = right
    router.step()
    assert router.names == ["a"]


@pytest.mark.parametrize("told", [False, True])
def test_endorsed_keys_are_taken_and_the_old_one_for_a_while(router: Router, told: bool) -> None:
    first = router.registry.key
    if told:
        router.told(first.public)
    ahead(router)
    second = Key(first)
    router.registry.key = Key(second)  # twice, while this router was away
    router.step()
    assert router.names == ["a", "b"]
    # Another process of the registry has not been given the new file yet.
    router.registry.key = first
    router.registry.set([B])
    router.step()
    assert router.names == ["b"]


def test_an_old_keys_time_ends(router: Router) -> None:
    first = router.registry.key
    ahead(router)
    until = datetime.now(UTC) - timedelta(seconds=1)
    router.registry.key = Key(first, until.isoformat())
    router.step()
    router.registry.key = first
    router.registry.set([B])
    with pytest.raises(RegistryError, match="this router knows"):
        router.step()


def test_changes_of_another_view_are_refused(router: Router) -> None:
    ahead(router)
    for view in ("all", "router/edge-2"):
        router.registry.said = {"view": view}
        with pytest.raises(RegistryError, match="it is another router's"):
            router.step()
    assert router.names == ["a"]


def test_an_endorsement_by_another_key_is_none(router: Router) -> None:
    ahead(router)
    router.registry.key = Key(Key())
    with pytest.raises(RegistryError, match="this router knows"):
        router.step()


def test_an_old_answer_that_is_repeated_is_refused(router: Router) -> None:
    router.step()
    router.registry.time = datetime.now(UTC) + timedelta(seconds=90)
    router.registry.set([A, B])
    router.step()
    router.registry.set([A])
    router.registry.time = datetime.now(UTC)
    with pytest.raises(RegistryError, match="somebody repeats an old one"):
        router.step()


def test_after_a_restart_as_well(router: Router) -> None:
    """Also one of a higher revision, as of a registry before it was restored."""
    router.step()
    router.restart()
    router.registry.time = datetime.now(UTC) - timedelta(days=3)
    router.registry.set([A, B])
    with pytest.raises(RegistryError, match="somebody repeats an old one"):
        router.step()
    assert router.names == ["a"]
    router.registry.time = None
    router.step()
    assert router.names == ["a", "b"]


def test_an_older_snapshot_is_refused(router: Router) -> None:
    ahead(router)
    router.step()
    router.forget()
    router.registry.revision -= 1
    with pytest.raises(RegistryError, match="is at revision 1, this router had 2 already"):
        router.step()
    assert router.names == ["a", "b"]


def test_a_late_word_is_said_to_be(router: Router, caplog: pytest.LogCaptureFixture) -> None:
    router.registry.time = datetime.now(UTC) - timedelta(minutes=6)
    router.step()
    router.registry.set([A, B])
    router.step()
    assert "the registry's newest word is of" in caplog.text


def test_damaged_keys_are_no_first_contact(router: Router, tmp_path: Path) -> None:
    ahead(router)
    (tmp_path / trust.KEYS).write_text("{")
    router.registry.key = Key()
    with pytest.raises(RegistryError, match=r"keys.json: damaged"):
        router.step()


def test_what_is_pinned_outlives_a_refusal(router: Router, tmp_path: Path) -> None:
    ahead(router)
    before = trust.load(tmp_path)
    router.registry.key = Key()
    with suppress(ControlError):
        router.step()
    assert trust.load(tmp_path) == before is not None
