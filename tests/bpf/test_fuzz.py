"""A short run of the fuzzer; `make fuzz` has a long one."""

from pathlib import Path

from tests.bpf.fuzz import run, seed_frames

RUNS = 200_000


def test_parser_under_sanitizers(tmp_path: Path) -> None:
    done = run(tmp_path, f"-runs={RUNS}")
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"number_of_executed_units: {RUNS}" in done.stderr, done.stderr[-2000:]


def test_seeds_differ() -> None:
    frames = list(seed_frames())
    assert len(set(frames)) == len(frames)
