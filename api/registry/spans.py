"""When sources pass, from now on: what a change takes of that time, and what it adds."""

from collections.abc import Iterable
from datetime import datetime

from policy.prefixes import Network, head
from policy.window import Window, to_ns

# [start, end) in nanoseconds since 1970-01-01 UTC.
Span = tuple[int, int]


def ahead(window: Window, now: datetime) -> Span | None:
    """What is left of a window; None if that is nothing."""
    start = max(window.start_ns, to_ns(now))
    return (start, window.end_ns) if start < window.end_ns else None


def less(span: Span | None, taken: Iterable[Span]) -> list[Span]:
    """What is left of one without others."""
    left = [] if span is None else [span]
    for start, end in taken:
        pieces = [(a, b) for x, y in left for a, b in ((x, min(y, start)), (max(x, end), y))]
        left = [(a, b) for a, b in pieces if a < b]
    return left


class Passing:
    """Prefixes, and when they pass; it costs a look for each length."""

    def __init__(self, found: Iterable[tuple[Network, Span]]) -> None:
        self._spans: dict[tuple[int, int, int], list[Span]] = {}
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for network, span in found:
            self._spans.setdefault(head(network, network.prefixlen), []).append(span)
            self._lengths[network.version].add(network.prefixlen)
        # Of a prefix that very many have, what they make together.
        self._spans = {key: _joined(spans) for key, spans in self._spans.items()}

    def over(self, network: Network) -> list[Span]:
        """When all of it passes, as any prefix around it has it."""
        return [
            span
            for length in self._lengths[network.version]
            if length <= network.prefixlen
            for span in self._spans.get(head(network, length), ())
        ]


def _joined(spans: list[Span]) -> list[Span]:
    if len(spans) == 1:
        return spans
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
