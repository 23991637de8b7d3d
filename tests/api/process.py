"""The service in a process of its own, as it runs in production."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from api.records import Role
from api.settings import Settings
from tests.ports import free_port

_PROGRAM = """
import dataclasses, sys
from api.serve import serve
from api.settings import Settings
settings = Settings.from_environment(listen=sys.argv[1])
serve(dataclasses.replace(settings, poll_seconds=float(sys.argv[2])))
"""
DEADLINE = 20.0


class Process:
    """`serve` in a process of its own."""

    def __init__(
        self,
        settings: Settings,
        tokens: Mapping[Role, str],
        program: str = _PROGRAM,
        **environment: str,
    ) -> None:
        port = free_port()
        # Not a pipe: one that nobody reads holds the process up when it is full.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # `end` closes it
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, f"127.0.0.1:{port}", str(settings.poll_seconds)],
            cwd=Path(__file__).parents[2],
            env={
                **os.environ,
                "PEERGATE_DATABASE_URL": settings.database_url,
                "PEERGATE_KEY_FILE": str(settings.key_file),
                **environment,
            },
            stderr=self._log,
        )
        self.url = f"http://127.0.0.1:{port}"
        self.tokens = tokens

    def client(self, role: Role) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE)

    def wait_until_ready(self) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            try:
                assert httpx.get(f"{self.url}/readyz").status_code == 200
            except httpx.TransportError:
                assert self.process.poll() is None, self.stderr()
                assert time.monotonic() < end, "not ready in time"
                time.sleep(0.02)
            else:
                return

    def end(self) -> None:
        """However it is: it is gone after that."""
        self.process.kill()
        self.process.wait()
        # Shown where the test fails.
        print("\n".join(self.stderr().splitlines()[-20:]))
        self._log.close()

    def stderr(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()
