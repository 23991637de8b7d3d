"""A registry in a process of its own, with something in it, for people to look at."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from api.bootstrap import init
from api.settings import Settings
from tests.api.bodies import gateway, peer, report, text
from tests.ports import free_port

PEERGATE = Path(sys.executable).with_name("peergate")
SECONDS = float(os.environ.get("PEERGATE_TEST_SECONDS", "30"))
ROLES = ("viewer", "registrar", "approver", "auditor", "agent")
MINUTE = timedelta(minutes=1)


class Site:
    """`tokens` are by role; the admin's is there from the start."""

    def __init__(self, directory: Path, port: int | None = None, **environment: str) -> None:
        self._directory = directory
        self._database = str(directory / "registry.db")
        self._listen = f"127.0.0.1:{port or free_port()}"
        self._environment = {**os.environ, **environment}
        self.url = f"http://{self._listen}"
        admin = init(Settings.from_environment(database=self._database)).token
        assert admin is not None
        self.tokens = {"admin": admin}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "api.log").open("a") as log:
            self._process = subprocess.Popen(
                [PEERGATE, "api", "serve", "--database", self._database, "--listen", self._listen],
                stderr=log,
                env=self._environment,
            )
        until = time.monotonic() + SECONDS
        while True:
            try:
                assert httpx.get(f"{self.url}/readyz", timeout=SECONDS).is_success
            except httpx.TransportError:
                assert self._process.poll() is None, (self._directory / "api.log").read_text()
                assert time.monotonic() < until, "not ready in time"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, path: str, body: object = None, role: str = "admin") -> Any:  # noqa: ANN401  # JSON
        headers = {"Authorization": f"Bearer {self.tokens[role]}", "If-Match": "*"}
        answered = httpx.request(
            method, self.url + path, json=body, headers=headers, timeout=SECONDS
        )
        assert answered.is_success, answered.text
        return answered.json() if answered.content else None

    def fill(self) -> None:
        """Tokens, a gateway, a router, and strangers at the gateway: three pages of them."""
        for role in ROLES:
            name = "edge-1" if role == "agent" else f"a-{role}"
            made = self.ask("POST", "/v1/tokens", {"name": name, "role": role})
            self.tokens[role] = made["token"]
        self.ask("POST", "/v1/gateways", gateway(mode="monitor"))
        self.tell()
        now = datetime.now(UTC)
        self.ask("PUT", "/v1/routers/edge-1/strangers", self._strangers(now), "agent")

    def tell(self, **fields: object) -> None:
        """As the router reports."""
        said = report(self.registry, 1, time=text(datetime.now(UTC)), **fields)
        self.ask("PUT", "/v1/routers/edge-1/report", said, "agent")

    @property
    def registry(self) -> str:
        registry: str = self.ask("GET", "/v1/status")["registry"]
        return registry

    def _strangers(self, now: datetime) -> dict[str, Any]:
        seen = {
            "gateway": "hub",
            "service": "udp/51820",
            "first_seen": text(now - 4 * MINUTE),
            "last_seen": text(now - MINUTE),
            "samples": 4,
            "dropped": False,
        }
        return {
            "registry": self.registry,
            "since": text(now - 5 * MINUTE),
            "until": text(now),
            "gateways": {"hub": {"packets": 1000, "samples": 10}},
            "strangers": [
                seen | {"source": f"192.0.2.{n}", "packets": 100 + n, "minutes": 1 + n // 50}
                for n in range(1, 121)
            ],
        }

    def request(self, **fields: object) -> int:
        """A peer that waits."""
        number: int = self.ask("POST", "/v1/peers", peer(**fields))["id"]
        return number
