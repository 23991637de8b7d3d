"""The seed of a run, and what its frames came to."""

import os
import secrets
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.differential.model import Verdict


@dataclass(slots=True)
class Tally:
    """How often each verdict was given."""

    seed: int
    frames: int = 0
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, judged: Verdict) -> None:
        self.frames += 1
        self.verdicts[judged.verdict, judged.action] += 1


TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    return of_run(pytestconfig)


def of_run(config: pytest.Config) -> Tally:
    """Random in every run, unless PEERGATE_SEED says which."""
    if TALLY not in config.stash:
        config.stash[TALLY] = Tally(int(os.environ.get("PEERGATE_SEED") or secrets.randbits(32)))
    return config.stash[TALLY]


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    return f"differential test: PEERGATE_SEED={of_run(config).seed}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = of_run(config)
    if not tally.frames:
        return
    terminalreporter.section(
        f"differential test: {tally.frames} frames, PEERGATE_SEED={tally.seed}"
    )
    for (verdict, action), count in sorted(tally.verdicts.items()):
        terminalreporter.write_line(f"{count:7} {verdict}, {action}")
