"""From the call of the registry's API to the first packet that is judged by it.

Registry and agent run as in production, on loopback of a namespace with a veth. A packet is one
run of the very program that the agent attached there (BPF_PROG_TEST_RUN), of the source in
question, about every 0.2 ms.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, inet_ntop

from api.settings import Settings
from bench import lookup, population, seed
from bench.mode import Mode
from bench.population import Population
from bench.rows import Row, percentile
from bench.service import Caller, NotInStepError, Router, resident_mib, router
from bench.site import frame
from control import syscalls
from lab.netns import LabError

PASS, DROP = 2, 1  # XDP_PASS, XDP_DROP
PACE = 0.0002
PATIENCE = 60.0  # seconds for one change
UNMEASURED = 3  # changes that come first
_SOURCE_AT = slice(26, 30)


@dataclass(frozen=True, slots=True)
class Change:
    """Seconds from the call, to the first packet judged and to the answer."""

    judged: float
    answered: float


def measure(mode: Mode, registered: int) -> Iterator[Row]:
    """Rows of `start`, `propagation` and `memory`; or one that says why there are none."""
    people = population.populate(4, registered)
    with (
        tempfile.TemporaryDirectory(prefix="peergate-bench-") as name,
        router(Path(name)) as edge,
    ):
        try:
            yield from _rows(mode, edge, people)
        except (NotInStepError, LabError) as error:
            why = " ".join(str(error).split())
            yield {**_names("propagation", people), "missing": why}


def _rows(mode: Mode, edge: Router, people: Population) -> Iterator[Row]:
    token = seed.seed(Settings(database_url=f"sqlite:///{edge.database}"), people)
    edge.serve()
    with edge.calling(token) as admin:
        issued = admin.post("/v1/tokens", {"name": "edge-1", "role": "agent"})["token"]
    before = time.monotonic()
    edge.follow(issued, mode.start_limit)
    yield {**_names("start", people), "seconds": round(time.monotonic() - before, 2)}
    with edge.calling(token) as admin:
        changes = _changes(mode, edge, admin, people)
    for kind, done in changes.items():
        judged = [change.judged * 1e3 for change in done]
        yield {
            **_names("propagation", people),
            "change": kind,
            **{f"p{part}_ms": round(percentile(judged, part), 2) for part in (50, 90, 99)},
            "max_ms": round(max(judged), 2),
            "answered_p50_ms": round(percentile([c.answered * 1e3 for c in done], 50), 2),
            "rounds": len(done),
        }
    assert edge.agent is not None
    assert edge.registry is not None
    (agent, agent_peak), (registry, registry_peak) = map(resident_mib, (edge.agent, edge.registry))
    yield {
        **_names("memory", people),
        "agent_mib": round(agent),
        "agent_peak_mib": round(agent_peak),
        "registry_mib": round(registry),
        "registry_peak_mib": round(registry_peak),
    }


def _names(bench: str, people: Population) -> Row:
    return {"bench": bench, "family": people.family, "registered": len(people)}


def _changes(
    mode: Mode, edge: Router, admin: Caller, people: Population
) -> dict[str, list[Change]]:
    """Peers approved and revoked, one at a time, as many as the time allows."""
    end = time.monotonic() + mode.change_limit
    done: dict[str, list[Change]] = {"approve": [], "revoke": []}
    strangers = lookup.draw(people, "unregistered", UNMEASURED + mode.propagation_changes)
    with edge.attached() as fd, ThreadPoolExecutor(1) as thread:
        for number, packed in enumerate(strangers.packed()):
            if done["revoke"] and time.monotonic() > end:
                break
            source = packed.tobytes()
            packet = bytearray(frame(4))
            packet[_SOURCE_AT] = source
            body = {"name": f"new-{number}", "sources": [inet_ntop(AF_INET, source)], **seed.REST}
            peer = admin.post("/v1/peers", body)["id"]
            for kind, verdict in (("approve", PASS), ("revoke", DROP)):
                reason = {"reason": "measured"} if kind == "revoke" else None
                change = _change(
                    (fd, bytes(packet), verdict),
                    thread,
                    (admin, f"/v1/peers/{peer}/{kind}", reason),
                )
                if number >= UNMEASURED:
                    done[kind].append(change)
    return done


def _change(
    judged: tuple[int, bytes, int], thread: ThreadPoolExecutor, call: tuple[Caller, str, object]
) -> Change:
    """Call, and run the packet until it gets the verdict. Raises LabError."""
    fd, packet, verdict = judged
    admin, path, body = call
    if syscalls.test_run(fd, packet) == verdict:
        raise LabError(f"{path}: the packet was judged so before")
    before = time.perf_counter()
    answer = thread.submit(_timed_post, admin, path, body)
    while syscalls.test_run(fd, packet) != verdict:
        if time.perf_counter() - before > PATIENCE:
            raise LabError(f"{path}: no packet was judged by it within {PATIENCE:g} s")
        time.sleep(PACE)
    seen = time.perf_counter()
    return Change(seen - before, answer.result() - before)


def _timed_post(admin: Caller, path: str, body: object) -> float:
    """When the answer was there."""
    admin.post(path, body)
    return time.perf_counter()
