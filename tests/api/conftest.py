"""A registry of the test's own, a clock that the test moves, and a client for each role.

Each test runs twice, on SQLite and on PostgreSQL, unless it is marked with `on_sqlite` or
`on_postgresql`. A registry is empty, but for `on_filled`; `shared` is one for all tests of a file
that change nothing.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.bootstrap import init
from api.records import Role
from api.settings import Settings
from api.signing import Statement
from tests.api.bodies import NOW, gateway, peer, text
from tests.api.client import Client, running
from tests.api.process import Process
from tests.postgresql import Server

OWNERS_ADDRESS = "203.0.113.99"
ENGINES = ("sqlite", "postgresql")
on_sqlite = pytest.mark.parametrize("seed", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("seed", ["postgresql"], indirect=True)
on_filled = pytest.mark.parametrize("seed", [f"{name}_filled" for name in ENGINES], indirect=True)


@dataclass(frozen=True, slots=True)
class Seed:
    """A registry's tokens and time, and URLs: of its copy, and of a database with nothing in it."""

    tokens: dict[Role, str]
    now: datetime
    key_file: Path
    copied: Callable[[Path], AbstractContextManager[str]]
    empty: Callable[[Path], AbstractContextManager[str]]


@dataclass(slots=True)
class MovingClock:
    """Stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, span: timedelta) -> None:
        self.now += span


@dataclass(slots=True)
class Service:
    """A running application and clients that speak with a token of each role."""

    app: FastAPI
    clock: MovingClock
    nobody: Client
    clients: dict[Role, Client]

    @property
    def admin(self) -> Client:
        return self.clients[Role.ADMIN]

    @property
    def agent(self) -> Client:
        return self.clients[Role.AGENT]

    @property
    def revision(self) -> int:
        revision: int = self.admin.get("/v1/status").json()["revision"]
        return revision

    def word(self, revision: int, registry: str = "") -> dict[str, str]:
        """As a router has it that was at that revision of this registry, or of another one."""
        statement = Statement(
            registry=registry or self.admin.get("/v1/status").json()["registry"],
            kind="changes",
            view="router/edge-1",
            after=0,
            revision=revision,
            time=text(self.clock.now),
            sha256="0" * 64,
        )
        headers = self.app.state.signer.sign(statement)
        return {
            "statement": headers["Peergate-Statement"],
            "signature": headers["Peergate-Signature"],
        }

    def add_router(self, name: str, **labels: str) -> Client:
        """A router of its own labels, and a client that speaks with its token."""
        made = self.admin.post("/v1/routers", json={"name": name, "labels": labels})
        assert made.status_code == 201, made.text
        token = {"name": f"agent-of-{name}", "role": "agent", "router": name}
        issued = self.admin.post("/v1/tokens", json=token)
        assert issued.status_code == 201, issued.text
        return self.nobody.with_token(issued.json()["token"])

    def add_gateway(self, name: str = "hub", **fields: object) -> None:
        response = self.admin.post("/v1/gateways", json=gateway(name=name, **fields))
        assert response.status_code == 201, response.text

    def request_peer(self, **fields: object) -> int:
        response = self.admin.post("/v1/peers", json=peer(**fields))
        assert response.status_code == 201, response.text
        number: int = response.json()["id"]
        return number

    def act(self, number: int, action: str, body: object = None) -> None:
        if body is None and action in ("reject", "revoke"):
            body = {"reason": "a test"}
        response = self.admin.post(
            f"/v1/peers/{number}/{action}", json=body, headers={"If-Match": "*"}
        )
        assert response.status_code == 200, response.text

    def add_peer(self, **fields: object) -> int:
        """A peer, approved."""
        number = self.request_peer(**fields)
        self.act(number, "approve")
        return number

    def set_bounds(self, number: int, **bounds: object) -> None:
        """Its owner may move its sources."""
        changed = self.admin.patch(
            f"/v1/peers/{number}", json={"bounds": bounds}, headers={"If-Match": "*"}
        )
        assert changed.status_code == 200, changed.text

    def owner(self, number: int, address: str = OWNERS_ADDRESS) -> Client:
        """Whoever holds the token of this peer, made anew, and calls from there."""
        made = self.admin.post(f"/v1/peers/{number}/token", json={})
        assert made.status_code == 201, made.text
        return self.nobody.with_token(made.json()["token"], address)


def seeded(settings: Settings) -> dict[Role, str]:
    """Makes a fresh registry with a token of each role, but for owners: these have a peer."""
    tokens = {Role.ADMIN: init(settings).token or ""}
    app = create_app(settings)
    with running(app) as portal:
        admin = Client(portal, app, tokens[Role.ADMIN])
        for role in set(Role) - {Role.ADMIN, Role.OWNER}:
            name = "edge-1" if role is Role.AGENT else f"a-{role}"
            made = admin.post("/v1/tokens", json={"name": name, "role": role})
            tokens[role] = made.json()["token"]
    return tokens


def _sqlite(file: Path, key_file: Path, tokens: dict[Role, str], now: datetime = NOW) -> Seed:
    @contextmanager
    def copied(directory: Path) -> Iterator[str]:
        copy = directory / "registry.db"
        shutil.copy(file, copy)
        yield f"sqlite:///{copy}"

    @contextmanager
    def empty(directory: Path) -> Iterator[str]:
        yield f"sqlite:///{directory}/new/registry.db"

    return Seed(tokens, now, key_file, copied, empty)


def _postgresql(
    server: Server, name: str, key_file: Path, tokens: dict[Role, str], now: datetime = NOW
) -> Seed:
    return Seed(
        tokens,
        now,
        key_file,
        lambda _: server.database(template=name),
        lambda _: server.database(),
    )


@pytest.fixture(scope="session")
def sqlite_seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    file = tmp_path_factory.mktemp("seed") / "registry.db"
    settings = Settings(database_url=f"sqlite:///{file}")
    return _sqlite(file, settings.key_file, seeded(settings))


@pytest.fixture(scope="session")
def postgresql_seed(postgresql_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    name = postgresql_server.make_database()
    key_file = tmp_path_factory.mktemp("key") / "registry.key"
    settings = Settings(database_url=postgresql_server.url(name), named_key_file=key_file)
    return _postgresql(postgresql_server, name, key_file, seeded(settings))


@pytest.fixture(scope="session")
def sqlite_filled_seed(sqlite_seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Seed:
    file = tmp_path_factory.mktemp("filled") / "registry.db"
    with sqlite_seed.copied(file.parent) as url:
        tokens, now = _filled(sqlite_seed, url)
    return _sqlite(file, sqlite_seed.key_file, tokens, now)


@pytest.fixture(scope="session")
def postgresql_filled_seed(postgresql_server: Server, postgresql_seed: Seed) -> Iterator[Seed]:
    with postgresql_seed.copied(Path()) as url:
        tokens, now = _filled(postgresql_seed, url)
        name = url.rpartition("/")[2]
        yield _postgresql(postgresql_server, name, postgresql_seed.key_file, tokens, now)


def _filled(seed: Seed, url: str) -> tuple[dict[Role, str], datetime]:
    from tests.api.filled import fill  # it needs what is here

    settings = Settings(database_url=url, named_key_file=seed.key_file)
    with _running(settings, seed) as service:
        owner = fill(service)
        return {**seed.tokens, Role.OWNER: owner.token}, service.clock.now


@contextmanager
def _running(settings: Settings, seed: Seed) -> Iterator[Service]:
    clock = MovingClock(seed.now)
    app = create_app(settings, clock=clock)
    with running(app) as portal:
        nobody = Client(portal, app, None)
        clients = {role: nobody.with_token(token) for role, token in seed.tokens.items()}
        if (owner := clients.get(Role.OWNER)) is not None:
            clients[Role.OWNER] = nobody.with_token(owner.token, OWNERS_ADDRESS)
        yield Service(app, clock, nobody, clients)


@pytest.fixture(params=ENGINES)
def seed(request: pytest.FixtureRequest) -> Seed:
    seed: Seed = request.getfixturevalue(f"{request.param}_seed")
    return seed


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One filled registry for all tests of a file: for those that change nothing."""
    seed: Seed = request.getfixturevalue(f"{request.param}_filled_seed")
    with seed.copied(tmp_path_factory.mktemp("shared")) as url:
        settings = Settings(database_url=url, named_key_file=seed.key_file, poll_seconds=0.2)
        with _running(settings, seed) as service:
            yield service


@pytest.fixture
def settings(tmp_path: Path, seed: Seed) -> Iterator[Settings]:
    """Of a registry that is there already, and empty."""
    with seed.copied(tmp_path) as url:
        yield Settings(database_url=url, named_key_file=seed.key_file, poll_seconds=0.2)


@pytest.fixture
def empty(tmp_path: Path, seed: Seed) -> Iterator[Settings]:
    """Of a database in which nothing is yet, or which is to be made."""
    with seed.empty(tmp_path) as url:
        yield Settings(database_url=url, named_key_file=tmp_path / "new.key")


@pytest.fixture
def start(seed: Seed, settings: Settings) -> Iterator[Callable[[Settings], Service]]:
    """Starts an application, on `settings` or a variant; ends it before its database goes."""
    with ExitStack() as stack:

        def start(settings: Settings) -> Service:
            return stack.enter_context(_running(settings, seed))

        yield start


@pytest.fixture
def service(start: Callable[[Settings], Service], settings: Settings) -> Service:
    return start(settings)


@pytest.fixture
def process(settings: Settings, seed: Seed) -> Iterator[Process]:
    started = Process(settings, seed.tokens)
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.end()
