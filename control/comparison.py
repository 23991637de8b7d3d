"""What a capture's packets would become under one allowlist, and under another."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from control.capture import Frame
from control.flows import Flow, flow
from control.replay import Judgement, Summary

# So many flows that change are told apart; packets of others are counted.
MOST_FLOWS = 100_000


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a packet: all that makes a difference."""

    gateway: str | None
    verdict: str
    action: str
    would_drop: bool
    peer: str | None

    @classmethod
    def of(cls, said: Judgement) -> "Fate":
        return cls(said.gateway, said.verdict, said.action, said.would_drop, said.peer)

    def differs(self, other: "Fate") -> bool:
        """By another peer that lets it in, nothing changes for a packet."""
        return (self.verdict, self.action, self.would_drop) != (
            other.verdict,
            other.action,
            other.would_drop,
        )

    def to_json(self) -> dict[str, object]:
        return {
            "gateway": self.gateway,
            "verdict": self.verdict,
            "action": self.action,
            "would_drop": self.would_drop,
            "peer": self.peer,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """Of one flow, or of all packets whose headers do not say whose they are."""

    flow: Flow | None
    before: Fate
    after: Fate

    @property
    def rank(self) -> int:
        """What is cut off comes first, then what is let in."""
        actions = self.before.action, self.after.action
        return 0 if actions == ("pass", "drop") else 1 if actions == ("drop", "pass") else 2


# What one of the two says of a frame.
Says = Callable[[Frame], Judgement]


@dataclass(slots=True)
class Comparison:
    """Sums of both, and packets by flow and change. `untold`: packets of flows beyond the most."""

    before: Summary = field(default_factory=Summary)
    after: Summary = field(default_factory=Summary)
    changes: Counter[Change] = field(default_factory=Counter)
    changed: int = 0
    untold: int = 0

    def add(self, frame: Frame, before: Judgement, after: Judgement) -> None:
        self.before.add(before)
        self.after.add(after)
        was, will = Fate.of(before), Fate.of(after)
        if not was.differs(will):
            return
        self.changed += 1
        change = Change(flow(frame.data), was, will)
        if change in self.changes or len(self.changes) < MOST_FLOWS:
            self.changes[change] += 1
        else:
            self.untold += 1

    def run(self, frames: Iterable[Frame], before: Says, after: Says) -> None:
        for frame in frames:
            self.add(frame, before(frame), after(frame))

    def in_order(self) -> list[tuple[Change, int]]:
        """Those cut off first, then by packets."""
        return sorted(self.changes.items(), key=lambda item: (item[0].rank, -item[1]))
