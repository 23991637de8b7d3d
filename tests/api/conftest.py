"""A registry in a file of its own, a clock that the test moves, and a client for each role."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.bootstrap import init
from api.records import Role
from api.settings import Settings
from tests.api.bodies import NOW, gateway, peer
from tests.api.client import Client, running
from tests.api.process import Process


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

    def add_gateway(self, name: str = "hub", **fields: object) -> None:
        response = self.admin.post("/v1/gateways", json=gateway(name=name, **fields))
        assert response.status_code == 201, response.text

    def request_peer(self, **fields: object) -> int:
        response = self.admin.post("/v1/peers", json=peer(**fields))
        assert response.status_code == 201, response.text
        number: int = response.json()["id"]
        return number

    def act(self, number: int, action: str, body: object = None) -> None:
        response = self.admin.post(
            f"/v1/peers/{number}/{action}", json=body, headers={"If-Match": "*"}
        )
        assert response.status_code == 200, response.text

    def add_peer(self, **fields: object) -> int:
        """A peer, approved."""
        number = self.request_peer(**fields)
        self.act(number, "approve")
        return number


@dataclass(frozen=True, slots=True)
class Seed:
    """A fresh registry with a token of each role, to be copied."""

    file: Path
    tokens: dict[Role, str]


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    file = tmp_path_factory.mktemp("seed") / "registry.db"
    settings = Settings(database_url=f"sqlite:///{file}")
    tokens = {Role.ADMIN: init(settings).token or ""}
    app = create_app(settings)
    with running(app) as portal:
        admin = Client(portal, app, tokens[Role.ADMIN])
        for role in set(Role) - {Role.ADMIN}:
            made = admin.post("/v1/tokens", json={"name": f"a-{role}", "role": role})
            tokens[role] = made.json()["token"]
    return Seed(file, tokens)


@pytest.fixture
def settings(tmp_path: Path, seed: Seed) -> Settings:
    """Of a registry that is there already, and empty."""
    file = tmp_path / "registry.db"
    shutil.copy(seed.file, file)
    return Settings(database_url=f"sqlite:///{file}", poll_seconds=0.2)


@pytest.fixture
def start(seed: Seed) -> Iterator[Callable[[Settings], Service]]:
    """Starts an application; ends it after the test."""
    with ExitStack() as stack:

        def start(settings: Settings) -> Service:
            clock = MovingClock()
            app = create_app(settings, clock=clock)
            portal = stack.enter_context(running(app))
            clients = {role: Client(portal, app, token) for role, token in seed.tokens.items()}
            return Service(app, clock, Client(portal, app, None), clients)

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
        started.process.kill()
        started.process.wait()
        assert started.process.stderr is not None
        started.process.stderr.close()
