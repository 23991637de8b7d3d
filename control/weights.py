"""How many packets a sample stands for: counted packets, shared out among the samples of them.

Each CPU samples by itself, so each is reckoned by itself. Its packets to a gateway since the last
time are exact; divided by its samples of them they are what each of these weighs.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from control.columns import Rows
from control.samples import Samples


class Total(NamedTuple):
    """Of one gateway: packets are counted, all of them."""

    packets: int
    samples: int


class Weights:
    """Remembers up to which packet each gateway and CPU is reckoned."""

    def __init__(self, counted: Mapping[int, Rows], cpus: int) -> None:
        """`counted`: packets of strangers up to now by gateway's number, of each CPU."""
        self._reckoned = dict(counted)
        self._nothing = np.zeros(cpus, np.int64)

    def weigh(self, samples: Samples, counted: Mapping[int, Rows]) -> tuple[Rows, dict[int, Total]]:
        """What each sample weighs, 1 at least; and the packets that came, by gateway.

        `counted` was read before the samples: of a packet that came in between there is a sample
        already, and it is taken for counted. A CPU's packets without any sample go to nobody.
        """
        weights, totals = np.ones(len(samples.rows)), {}
        order = np.argsort(samples.rows["gateway"], kind="stable")
        numbers = samples.rows["gateway"][order]
        for number in sorted({*counted, *numbers.tolist()}):
            first, last = np.searchsorted(numbers, [number, number + 1])
            ours = order[first:last]
            cpus = samples.cpus[ours]
            sampled = np.bincount(cpus, minlength=len(self._nothing))
            before = self._reckoned.get(number, self._nothing)
            came = np.maximum(counted.get(number, before) - before, sampled)
            self._reckoned[number] = before + came
            weights[ours] = (came / np.maximum(sampled, 1))[cpus]
            if came.any():
                totals[number] = Total(int(came.sum()), len(ours))
        return weights, totals
