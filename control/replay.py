"""What the program says of every frame of a capture."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from control.capture import Frame
from control.model import Explanation

# What the explaining entry point says of a frame, at a moment in ns since 1970.
Judge = Callable[[bytes, int], Explanation]

# The kernel runs no shorter frame; the program could not say anything else of it.
SHORTEST_RUN = 14
_TOO_SHORT = Explanation(verdict="other", drop=False, gateway=None, entry=None)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One frame's verdict and action; gateway and peer by name."""

    packet: int
    verdict: str
    action: str
    would_drop: bool
    gateway: str | None
    peer: str | None
    truncated: bool = False

    def to_json(self) -> dict[str, object]:
        """As `replay --json` prints it; `truncated` is said only where it is true."""
        document: dict[str, object] = {
            "packet": self.packet,
            "verdict": self.verdict,
            "action": self.action,
            "would_drop": self.would_drop,
            "gateway": self.gateway,
            "peer": self.peer,
        }
        if self.truncated:
            document["truncated"] = True
        return document


def replay(
    frames: Iterable[Frame],
    judge: Judge,
    now: int,
    gateways: Mapping[int, str],
    peers: Mapping[int, str],
) -> Iterator[Judgement]:
    """Run the frames as of `now` (ns since 1970). `gateways` and `peers` name the numbers."""
    for frame in frames:
        yield judgement(frame, judge, now, gateways, peers)


def judgement(
    frame: Frame,
    judge: Judge,
    now: int,
    gateways: Mapping[int, str],
    peers: Mapping[int, str],
) -> Judgement:
    """What is said of one frame."""
    said = judge(frame.data, now) if len(frame.data) >= SHORTEST_RUN else _TOO_SHORT
    return Judgement(
        packet=frame.number,
        verdict=said.verdict,
        action=said.action,
        would_drop=said.would_drop,
        gateway=None if said.gateway is None else gateways[said.gateway],
        peer=None if said.entry is None else peers[said.entry.peer],
        truncated=frame.truncated,
    )


@dataclass(slots=True)
class Summary:
    """Counts of judgements, and the first packets that were or would be dropped."""

    shown_drops: int = 10
    packets: int = 0
    truncated: int = 0
    # (gateway, verdict, action, would drop)
    counts: Counter[tuple[str | None, str, str, bool]] = field(default_factory=Counter)
    drops: list[Judgement] = field(default_factory=list)

    def add(self, judgement: Judgement) -> None:
        self.packets += 1
        self.truncated += judgement.truncated
        key = judgement.gateway, judgement.verdict, judgement.action, judgement.would_drop
        self.counts[key] += 1
        dropped = judgement.action == "drop" or judgement.would_drop
        if dropped and len(self.drops) < self.shown_drops:
            self.drops.append(judgement)
