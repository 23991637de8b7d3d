"""The counters of one set of maps, and of smaller sets before it whose counting goes on."""

from collections.abc import Iterable, Sequence

import numpy as np

from control.columns import Rows
from control.maps import BpfMap, CType
from control.model import Count
from control.rows import number_key

# What the program takes samples of.
_OF_STRANGERS = ("unregistered_pass", "unregistered_drop", "expired_pass", "expired_drop")


class Counters:
    """Per-CPU maps of struct pg_counters, by gateway's number; 0 counts where none is known."""

    def __init__(self, maps: Sequence[BpfMap], value: CType) -> None:
        """`value`: the type for all CPUs. Those of its fields that count are verdict_action."""
        self.maps = maps
        self._row = np.dtype(value._type_)
        fields = [name for name, kind in value._type_._fields_ if hasattr(kind, "packets")]
        words = list(dict.fromkeys(name.rpartition("_")[0] for name in fields))
        # In the order of enum pg_verdict.
        self.verdict_words = tuple(words)
        # People read them by verdict; sorting leaves what passed before what was dropped.
        self._names = sorted(fields, key=lambda name: words.index(name.rpartition("_")[0]))

    def of(self, number: int) -> dict[str, Count]:
        """By name. Smaller sets before may not have had the number yet."""
        per_cpu = [
            cpu
            for counters in self.maps
            if number < counters.max_entries
            for cpu in counters.get(number_key(number))
        ]
        return {
            name: Count(
                packets=sum(getattr(cpu, name).packets for cpu in per_cpu),
                bytes=sum(getattr(cpu, name).bytes for cpu in per_cpu),
            )
            for name in self._names
        }

    def of_strangers(self, numbers: Iterable[int]) -> dict[int, Rows]:
        """Packets by number, those that passed and those dropped together; of each CPU."""
        return {number: self._of_strangers(number) for number in numbers}

    def _of_strangers(self, number: int) -> Rows:
        per_cpu = [
            np.frombuffer(counters.get(number_key(number)), self._row)
            for counters in self.maps
            if number < counters.max_entries
        ]
        found = (
            rows[name]["packets"].astype(np.int64) for rows in per_cpu for name in _OF_STRANGERS
        )
        return np.asarray(sum(found))
