"""The compiled program against the model, frame by frame (DESIGN.md, Verdicts).

`PEERGATE_SEED=N` repeats a run; the seed is printed with every run.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from control.dataplane import DataPlane
from control.model import Allowlist
from tests.differential.conftest import Tally
from tests.differential.frames import frames, palette
from tests.differential.model import Why, judge
from tests.differential.program import SHORTEST, SIZES, Counted, Program
from tests.differential.sites import BASE, SITES, moments, site

FRAMES_AT_A_TIME = 8
FRAMES_PER_SITE = 5_000
LIVE_FRAMES = 2_000
# How often each verdict and each rule must have come up at each site.
MANY, SOME = 40, 2
VERDICTS = {
    "other",
    "bystander",
    "unprotected",
    "registered",
    "expired",
    "unregistered",
    "malformed",
}
# Looking for the smallest frame that fails may take longer than a test may.
pytestmark = pytest.mark.timeout(600)
STEP = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with DataPlane.offline(SIZES) as plane:
        yield Program(plane)


def run_batches(
    check: Callable[..., None], drawn: dict[str, st.SearchStrategy[Any]], count: int, own: str
) -> None:
    """Let hypothesis call `check` with batches of `count` frames in all, the same for one `own`."""
    bounded = settings(
        max_examples=count // FRAMES_AT_A_TIME,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    seed(random.Random(own).getrandbits(64))(bounded(given(**drawn)(check)))()


def reachable(allowlist: Allowlist) -> set[Why]:
    """The model's reasons, less those that need a service without ports where there is none."""
    services = [service for gateway in allowlist.gateways for service in gateway.services]
    portless = any(service.port is None for service in services)
    return {why for why in Why if portless or why != Why.FRAGMENT_OF_SERVICE}


def batches(name: str) -> st.SearchStrategy[list[bytes]]:
    drawn = frames(palette(site(name, BASE)))
    return st.lists(drawn, min_size=FRAMES_AT_A_TIME, max_size=FRAMES_AT_A_TIME)


@pytest.mark.parametrize("name", SITES)
def test_program_agrees_with_the_model(name: str, program: Program, tally: Tally) -> None:
    allowlist = site(name, BASE)
    verdicts: Counter[str] = Counter()
    reasons: Counter[Why | None] = Counter()

    def check(now: datetime, older: bool, batch: list[bytes]) -> None:
        # What begins or ends at `now` must do so with no agent: also with maps made just before.
        resolved = now - STEP if older else now
        program.hold(allowlist, resolved)
        for frame in batch:
            expected = judge(allowlist.gateways, allowlist.peers, frame, now)
            tally.add(expected)
            verdicts[expected.verdict] += 1
            reasons[expected.why] += 1
            said = program.explain(frame, now)
            assert said == expected, (
                f"PEERGATE_SEED={tally.seed}, {len(frame)} bytes: {frame.hex()}\n"
                f"model   {expected}\nprogram {said}\n"
                f"again:  python -m tests.differential {name} {now.isoformat()}"
                f" {resolved.isoformat()} {frame.hex()}"
            )

    drawn = {
        "now": st.sampled_from(moments(allowlist)),
        "older": st.booleans(),
        "batch": batches(name),
    }
    run_batches(check, drawn, FRAMES_PER_SITE, f"{tally.seed} {name}")
    # Frames that never come near a rule prove nothing about it.
    assert {word for word in VERDICTS if verdicts[word] >= MANY} == VERDICTS, verdicts
    rules = reachable(allowlist)
    assert {rule for rule in rules if reasons[rule] >= SOME} == rules, reasons


@pytest.mark.parametrize("name", ["shared", "window"])
def test_live_entry_agrees_and_counts(name: str, program: Program, tally: Tally) -> None:
    # Windows begin and end on the hours around this moment, so the test's run stays inside one.
    now = datetime.now(UTC)
    allowlist = site(name, now)
    program.hold(allowlist, now)
    program.plane.set_clock(time.time_ns() - time.monotonic_ns())

    def check(batch: list[bytes]) -> None:
        before = program.counted()
        expected: Counted = Counter()
        for frame in batch:
            verdict = judge(allowlist.gateways, allowlist.peers, frame, now)
            assert program.explain(frame, now) == verdict, frame.hex()
            assert program.plane.run(frame) == verdict.action, frame.hex()
            if len(frame) >= SHORTEST:
                row = verdict.gateway, f"{verdict.verdict}_{verdict.action}"
                expected[*row, "packets"] += 1
                expected[*row, "bytes"] += len(frame)
        assert program.counted() - before == expected, [frame.hex() for frame in batch]

    run_batches(check, {"batch": batches(name)}, LIVE_FRAMES, f"{tally.seed} {name} live")
