"""The registry's service and an agent, as in production: processes that talk HTTP on loopback."""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from control import links, syscalls
from lab.netns import LabError, Namespace, end, veth
from lab.watch import wait_until

PEERGATE = Path(sys.executable).with_name("peergate")
UPLINK = "uplink"
PORT = 8470
URL = f"http://127.0.0.1:{PORT}"
STARTS = 60.0  # seconds that the registry may take
_DETACH = 2  # MNT_DETACH

_SETTINGS = """\
registry_url = "{url}"
token_file = "{directory}/agent.token"
router = "edge-1"
interfaces = ["{uplink}"]
state_dir = "{directory}/state"
bpffs = "{directory}/bpf"
"""


class NotInStepError(Exception):
    """The agent did not come as far as the registry in the time it was given."""


class Caller:
    """An admin of the registry, over one connection that is kept open."""

    def __init__(self, namespace: Namespace, connection: HTTPConnection, token: str) -> None:
        self._namespace = namespace
        self._connection = connection
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "If-Match": "*",
        }

    def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401  # any JSON
        """The answer. Raises LabError where it is no success."""
        with self._namespace.entered():
            sent = b"" if body is None else json.dumps(body).encode()
            self._connection.request("POST", path, sent, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
        if not 200 <= answer.status < 300:
            raise LabError(f"POST {path}: {answer.status}: {text.decode(errors='replace')}")
        return json.loads(text) if text else None


@dataclass(slots=True)
class Router:
    """A namespace with registry and agent; the files of both in `directory`."""

    namespace: Namespace
    directory: Path
    registry: "subprocess.Popen[str] | None" = None
    agent: "subprocess.Popen[str] | None" = None

    @property
    def database(self) -> Path:
        return self.directory / "registry.db"

    def serve(self) -> None:
        """Start the registry; wait until it answers. Raises LabError."""
        log = self.directory / "registry.log"
        self.registry = self._start(
            log, "api", "serve", "--database", self.database, "--listen", f"127.0.0.1:{PORT}"
        )
        if not wait_until(self._answers, STARTS, 0.1):
            raise LabError(f"the registry does not answer: {log.read_text()[-500:]}")

    @contextmanager
    def calling(self, token: str) -> Iterator[Caller]:
        """The registry hangs up on whoever is silent for 5 s."""
        connection = HTTPConnection("127.0.0.1", PORT, timeout=STARTS)
        try:
            yield Caller(self.namespace, connection, token)
        finally:
            connection.close()

    def follow(self, token: str, limit: float) -> None:
        """Start the agent; wait until it has filled and attached. Raises NotInStepError."""
        (self.directory / "agent.token").write_text(token)
        (self.directory / "agent.token").chmod(0o600)
        config, log = self.directory / "agent.toml", self.directory / "agent.log"
        config.write_text(
            _SETTINGS.format(
                url=URL,
                directory=self.directory,
                uplink=UPLINK,
            )
        )
        self.agent = agent = self._start(log, "agent", "--config", config)
        wait_until(lambda: self.program() is not None or agent.poll() is not None, limit, 0.05)
        if agent.poll() is not None:
            raise LabError(f"the agent has ended: {log.read_text()[-500:]}")
        if self.program() is None:
            raise NotInStepError(f"the agent was not in step after {limit:g} s")

    def program(self) -> int | None:
        """The id of what is attached to the uplink."""
        with self.namespace.entered():
            return links.attachment(UPLINK).program("native")

    @contextmanager
    def attached(self) -> Iterator[int]:
        """A descriptor of it."""
        program = self.program()
        if program is None:
            raise LabError("no program is attached to the uplink")
        fd = syscalls.program_fd_by_id(program)
        try:
            yield fd
        finally:
            os.close(fd)

    def _start(self, log: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
        clean = {name: value for name, value in os.environ.items() if "PEERGATE_" not in name}
        with log.open("a") as out:
            return self.namespace.popen([PEERGATE, *arguments], env=clean, stdout=out, stderr=out)

    def _answers(self) -> bool:
        with self.namespace.entered():
            asking = HTTPConnection("127.0.0.1", PORT, timeout=STARTS)
            try:
                asking.request("GET", "/readyz")
                return asking.getresponse().status == 200
            except OSError:
                return False
            finally:
                asking.close()

    def close(self) -> None:
        """End both, and unmount what the agent pinned."""
        for process in (self.agent, self.registry):
            if process is not None:
                end(process)
        ctypes.CDLL(None).umount2(os.fsencode(self.directory / "bpf"), _DETACH)


@contextmanager
def router(directory: Path) -> Iterator[Router]:
    """An uplink, and nothing running yet; all of it goes."""
    with ExitStack() as stack:
        here = stack.enter_context(Namespace("bench-router"))
        there = stack.enter_context(Namespace("bench-internet"))
        veth(here, UPLINK, there, "eth0")
        made = Router(here, directory)
        stack.callback(made.close)
        yield made


def resident_mib(process: "subprocess.Popen[str]") -> tuple[float, float]:
    """Memory of a process in MiB: now, and at most so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    now, peak = (re.search(rf"^{name}:\s*(\d+) kB", status, re.M) for name in ("VmRSS", "VmHWM"))
    if now is None or peak is None:
        raise LabError(f"process {process.pid} has ended")
    return int(now[1]) / 1024, int(peak[1]) / 1024
