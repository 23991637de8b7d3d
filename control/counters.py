"""The counters of one set of maps, and of smaller sets before it whose counting goes on."""

from collections.abc import Sequence

from control.maps import BpfMap, CType
from control.model import Count
from control.rows import number_key


class Counters:
    """Per-CPU maps of struct pg_counters, by gateway's number; 0 counts where none is known."""

    def __init__(self, maps: Sequence[BpfMap], value: CType) -> None:
        """`value`: the type for all CPUs. Its fields are verdict_action."""
        self.maps = maps
        fields = [name for name, _ in value._type_._fields_]
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
