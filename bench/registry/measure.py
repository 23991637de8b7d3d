"""What is measured of a registry: fan-out, snapshots, restarts."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from api.settings import Settings
from bench import population, seed
from bench.registry.service import (
    Api,
    Crowd,
    admin_of,
    fetch,
    following,
    issue_tokens,
    sent,
    serving,
)
from bench.rows import Row, percentile
from lab.netns import LabError
from tests import postgresql

Database = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class Size:
    """Times in seconds."""

    name: str
    routers: int = 1000
    peers: int = 100_000
    many: int = 1_000_000
    rounds: int = 12
    pause: float = 12.0  # between two registrations: reports of a change are spread over ten
    downs: tuple[float, ...] = (0.0, 45.0)  # how long nobody serves, beside the start itself
    patience: float = 60.0


FULL = Size("full")
QUICK = Size("quick", many=100_000, rounds=4, downs=(0.0,))


@contextmanager
def database(which: Database, directory: Path) -> Iterator[Settings]:
    """A registry's settings; nothing is in it."""
    key_file = directory / "registry.key"
    if which == "sqlite":
        yield Settings(f"sqlite:///{directory}/registry.db", named_key_file=key_file)
        return
    with postgresql.running(durable=True) as server, server.database() as url:
        yield Settings(url, named_key_file=key_file)


def measure(size: Size, which: Database, processes: int) -> Iterator[Row]:
    """A crowd at so many API processes: rows of `fanout` and `restart`."""
    named: Row = {
        "database": which,
        "processes": processes,
        "routers": size.routers,
        "peers": size.peers,
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peergate-bench-")))
        settings = stack.enter_context(database(which, directory))
        token = seed.seed(settings, population.populate(4, size.peers))
        issue_tokens(settings, directory, size.routers)
        apis = stack.enter_context(serving(settings, directory, processes))
        fetch(apis[0], directory / "router-0.token", directory)
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        state = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="peergate-bench-", dir=memory)
        )
        crowd = stack.enter_context(following(apis, directory, Path(state), size.routers))
        admin = stack.enter_context(admin_of(apis[0], token))
        _settle(size, admin, crowd)
        yield {"bench": "fanout", **named, **_fanout(size, apis, admin, crowd)}
        for down in size.downs:
            yield {"bench": "restart", **named, **_restart(size, apis, token, crowd, down)}


def snapshots(size: Size, which: Database) -> Iterator[Row]:
    """A row of `snapshot`: many peers, one process."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peergate-bench-")))
        settings = stack.enter_context(database(which, directory))
        seed.seed(settings, population.populate(4, size.many))
        issue_tokens(settings, directory, 1)
        (api,) = stack.enter_context(serving(settings, directory, 1))
        token_file = directory / "router-0.token"
        before, _ = api.mib()
        made, length = _download(api, token_file.read_text())
        again, _ = _download(api, token_file.read_text())
        after, peak = api.mib()
        agent = fetch(api, token_file)
        yield {
            "bench": "snapshot",
            "database": which,
            "peers": size.many,
            "made_s": round(made, 2),
            "again_s": round(again, 2),
            "compressed_bytes": length,
            "registry_before_mib": round(before),
            "registry_mib": round(after),
            "registry_peak_mib": round(peak),
            "agent_s": round(agent["seconds"], 1),
            "agent_mib": round(agent["mib"]),
            "agent_peak_mib": round(agent["peak_mib"]),
        }


def _download(api: Api, token: str) -> tuple[float, int]:
    """Seconds and bytes of a compressed one."""
    began, length = time.monotonic(), 0
    with (
        admin_of(api, token) as client,
        client.stream("GET", "/v1/allowlist", headers={"Accept-Encoding": "gzip"}) as response,
    ):
        for part in response.iter_raw():
            length += len(part)
    return time.monotonic() - began, length


def _settle(size: Size, admin: httpx.Client, crowd: Crowd) -> None:
    """Until all of them follow."""
    revision = _approve(admin, "first", 0)
    _wait_for(size, crowd, revision)


def _approve(admin: httpx.Client, name: str, number: int) -> int:
    """The revision that it makes."""
    source = f"192.0.2.{number % 256}"
    body = {**seed.REST, "name": name, "sources": [source]}
    peer = sent(admin.post("/v1/peers", json=body))["id"]
    sent(admin.post(f"/v1/peers/{peer}/approve"))
    revision: int = sent(admin.get("/v1/status"))["revision"]
    return revision


def _wait_for(size: Size, crowd: Crowd, revision: int) -> list[float]:
    """When it came to each router."""
    end, came = time.monotonic() + size.patience, list[float]()
    while len(came) < crowd.count:
        if time.monotonic() > end:
            raise LabError(f"{len(came)} of {crowd.count} routers have revision {revision}")
        time.sleep(0.5)
        came += [when for at, when in crowd.noted().came if at >= revision]
    return came


def _fanout(size: Size, apis: list[Api], admin: httpx.Client, crowd: Crowd) -> Row:
    all_of_them: list[float] = []
    rounds: list[float] = []
    last: list[float] = []
    answered: list[float] = []
    yardstick: list[float] = []
    spent, crowds = sum(api.cpu_seconds() for api in apis), crowd.cpu_seconds()
    for number in range(size.rounds):
        time.sleep(size.pause)
        crowd.noted()
        yardstick.append(_yardstick())
        body = {**seed.REST, "name": f"new-{number}", "sources": [f"192.0.2.{number}"]}
        peer = sent(admin.post("/v1/peers", json=body))["id"]
        # Asked for before: its counts of all peers would take part of what is measured.
        revision = sent(admin.get("/v1/status"))["revision"] + 1
        began = time.monotonic()
        sent(admin.post(f"/v1/peers/{peer}/approve"))
        answered.append(time.monotonic() - began)
        took = [when - began for when in _wait_for(size, crowd, revision)]
        all_of_them += took
        rounds.append(percentile(took, 99))
        last.append(max(took))
    spent = sum(api.cpu_seconds() for api in apis) - spent
    crowds = crowd.cpu_seconds() - crowds
    return {
        "p50_s": round(percentile(all_of_them, 50), 3),
        "p99_s": round(percentile(all_of_them, 99), 3),
        "max_s": round(max(last), 3),
        # Of a usual registration: where the machine stood still for one, that is in the others.
        "round_p99_p50_s": round(percentile(rounds, 50), 3),
        "answered_p50_s": round(percentile(answered, 50), 3),
        "rounds": size.rounds,
        # Of the machine's: the crowd takes most of it, which routers would not.
        "api_cpu_s_per_round": round(spent / size.rounds, 2),
        "crowd_cpu_s_per_round": round(crowds / size.rounds, 2),
        "registry_mib": round(max(api.mib()[0] for api in apis)),
        "yardstick_ms": round(percentile(yardstick, 50) * 1000, 1),
    }


def _yardstick() -> float:
    """How long the same piece of work takes: virtual machines are slow at times."""
    began, total = time.process_time(), 0
    for number in range(500_000):
        total += number * number
    return time.process_time() - began


def _restart(size: Size, apis: list[Api], token: str, crowd: Crowd, down: float) -> Row:
    """All processes are killed at once; served is who has had an answer since they are back."""
    before = crowd.noted().snapshots
    killed = time.monotonic()
    for api in apis:
        api.kill()
    time.sleep(down)
    for api in apis:
        api.start()
    back = time.monotonic()
    with admin_of(apis[0], token) as admin:
        revision = _approve(admin, f"after-{down:g}-s", int(down) + 100)
    came, asked, end = list[float](), list[float](), time.monotonic() + size.patience
    while len(came) < crowd.count and time.monotonic() < end:
        time.sleep(0.5)
        noted = crowd.noted()
        came += [when for at, when in noted.came if at >= revision]
        asked += [when for when in noted.asked if when >= back]
        snapshots = noted.snapshots
    in_second: dict[int, int] = {}
    for when in asked:
        in_second[int(when - back)] = in_second.get(int(when - back), 0) + 1
    return {
        "down_s": round(back - killed, 1),
        "served_p50_s": round(percentile(came, 50) - back, 2),
        # Whoever is not back by then counts as long as was waited.
        "served_s": round(max(came) - back, 2) if len(came) == crowd.count else size.patience,
        "back": len(came),
        "peak_requests_per_s": max(in_second.values()),
        "snapshots": snapshots - before,
    }
