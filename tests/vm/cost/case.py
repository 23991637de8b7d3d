"""What is measured: a frame, what becomes of it, and what the kernel does for it meanwhile."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from tests.bpf.bench import Outcome


@dataclass(frozen=True, slots=True)
class Case:
    """`calls` are the maps that the program looks into in turn, and "time" the clock's helper.

    A look that is not listed counts as the program's own cost. Counters and the clock's
    offset are arrays: the kernel makes those looks a part of the program.
    """

    name: str
    frame: bytes
    source: str
    destination: str
    outcome: Outcome
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """Instructions: of the program itself, and of the kernel's functions that it calls."""

    program: int
    kernel: int

    @property
    def whole(self) -> int:
        return self.program + self.kernel


def dump_cases(cases: Iterable[Case]) -> str:
    return json.dumps([asdict(case) | {"frame": case.frame.hex()} for case in cases])


def load_cases(text: str) -> list[Case]:
    return [
        Case(**{
            **fields,
            "frame": bytes.fromhex(fields["frame"]),
            "outcome": Outcome(**fields["outcome"]),
            "calls": tuple(fields["calls"]),
        })
        for fields in json.loads(text)
    ]  # fmt: skip
