"""API processes as in production, and the crowd that follows them: all on loopback."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx

from api.database import open_store
from api.records import Actor, Role
from api.registry import tokens
from api.registry.core import Registry, utc_now
from api.settings import Settings
from lab.lifetime import ending_with_us
from lab.netns import LabError
from tests.ports import free_port

_STARTS = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Api:
    """One process, which may be killed and started again at the same place."""

    settings: Settings
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Raises LabError where it does not answer in time."""
        environ = {name: text for name, text in os.environ.items() if "PEERGATE_" not in name}
        environ["PEERGATE_DATABASE_URL"] = self.settings.database_url
        environ["PEERGATE_KEY_FILE"] = str(self.settings.key_file)
        command = [Path(sys.executable).with_name("peergate"), "api", "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ending_with_us([*map(str, command), "--listen", f"127.0.0.1:{self.port}"]),
                cwd=_ROOT,
                env=environ,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _STARTS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise LabError(f"the registry does not answer: {self.log.read_text()[-500:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def mib(self) -> tuple[float, float]:
        """Its memory now, and at most so far."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        now, peak = (
            re.search(rf"^{name}:\s*(\d+) kB", status, re.M) for name in ("VmRSS", "VmHWM")
        )
        if now is None or peak is None:
            raise LabError(f"the registry has ended: {self.log.read_text()[-500:]}")
        return int(now[1]) / 1024, int(peak[1]) / 1024

    def cpu_seconds(self) -> float:
        assert self.process is not None
        return _cpu_seconds(self.process.pid)

    def _ready(self) -> bool:
        asking = HTTPConnection("127.0.0.1", self.port, timeout=_STARTS)
        try:
            asking.request("GET", "/readyz")
            return asking.getresponse().status == 200
        except OSError:
            return False
        finally:
            asking.close()


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(settings: Settings, directory: Path, count: int) -> Iterator[list[Api]]:
    with ExitStack() as stack:
        apis = []
        for number in range(count):
            api = Api(settings, directory / f"api-{number}.log")
            stack.callback(api.kill)
            api.start()
            apis.append(api)
        yield apis


def issue_tokens(settings: Settings, directory: Path, count: int) -> None:
    """One for each router, in a file of its own; written into the database itself."""
    store = open_store(settings)
    registry = Registry(
        store,
        clock=utc_now,
        ended_kept=settings.ended_kept,
        kept_revisions=settings.kept_revisions,
        announce=lambda _: None,
        tell=lambda _: None,
        changed=lambda _: None,
    )
    try:
        with registry.write(Actor("bench"), "tokens") as write:
            for number in range(count):
                name = f"router-{number}"
                _, text = tokens.issue(write, name, Role.AGENT, None)
                (directory / f"{name}.token").write_text(text)
    finally:
        store.close()


@dataclass(slots=True)
class Noted:
    """What the whole crowd did since it was asked last; see `crowd.Notes`."""

    came: list[tuple[int, float]]
    asked: list[float]
    answered: list[float]
    snapshots: int


class Crowd:
    """Routers in some processes."""

    def __init__(self, processes: "list[subprocess.Popen[str]]", count: int) -> None:
        self._processes = processes
        self.count = count

    def cpu_seconds(self) -> float:
        return sum(_cpu_seconds(process.pid) for process in self._processes)

    def noted(self) -> Noted:
        whole = Noted([], [], [], 0)
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise LabError("routers have ended: see their messages above")
            said = json.loads(line)
            whole.came += [(int(revision), when) for revision, when in said["came"]]
            whole.asked += said["asked"]
            whole.answered += said["answered"]
            whole.snapshots += said["snapshots"]
        return whole


@contextmanager
def following(apis: list[Api], directory: Path, state: Path, count: int) -> Iterator[Crowd]:
    """Two processes of routers, at one API process each where there are two.

    `state` is where each router has its directory: in memory, for each would have its own disk.
    """
    processes: list[subprocess.Popen[str]] = []
    half = count // 2
    try:
        for turn, (first, some) in enumerate(((0, half), (half, count - half))):
            url = apis[turn % len(apis)].url
            words = [sys.executable, "-m", "bench.registry.crowd", url, str(directory), str(state)]
            with (directory / f"crowd-{turn}.log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        ending_with_us([*words, str(first), str(some)]),
                        cwd=_ROOT,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                    )
                )
        yield Crowd(processes, count)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def fetch(api: Api, token_file: Path, directory: Path | None = None) -> dict[str, float]:
    """What a snapshot costs an agent, in a process of its own: see `bench.registry.fetch`."""
    words = [sys.executable, "-m", "bench.registry.fetch", api.url, str(token_file)]
    if directory is not None:
        words.append(str(directory))
    done = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"no snapshot came: {done.stderr[-500:]}")
    said: dict[str, float] = json.loads(done.stdout)
    return said


def admin_of(api: Api, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}", "If-Match": "*"}
    return httpx.Client(base_url=api.url, headers=headers, timeout=_STARTS, trust_env=False)


def sent(response: httpx.Response) -> Any:  # noqa: ANN401  # any JSON
    if not response.is_success:
        raise LabError(f"{response.request.url}: {response.status_code}: {response.text}")
    return response.json()
