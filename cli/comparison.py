"""What a comparison of two allowlists over a capture looks like."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from cli.client import Json
from cli.output import show, table

if TYPE_CHECKING:
    from control.comparison import Comparison, Fate
    from control.replay import Summary

_SHOWN = 20


def to_json(found: "Comparison", before: Json, after: Json) -> Json:
    """`before` and `after` say what was judged by."""
    return {
        "packets": found.before.packets,
        "truncated": found.before.truncated,
        "before": {**before, "counts": _counts(found.before)},
        "after": {**after, "counts": _counts(found.after)},
        "changed": found.changed,
        "untold": found.untold,
        "flows": [
            {
                "source": None if each.flow is None else str(each.flow.source),
                "destination": None if each.flow is None else str(each.flow.destination),
                "service": None if each.flow is None else str(each.flow.service),
                "packets": packets,
                "before": each.before.to_json(),
                "after": each.after.to_json(),
            }
            for each, packets in found.in_order()
        ],
    }


def _counts(summary: "Summary") -> list[Json]:
    names = ("gateway", "verdict", "action", "would_drop")
    return [
        {**dict(zip(names, key, strict=True)), "packets": packets}
        for key, packets in summary.counts.most_common()
    ]


def show_comparison(found: "Comparison") -> None:
    changes = found.in_order()
    if changes:
        show(table(("before", "after", "#packets", "#flows"), _kinds(found)))
        rows = [
            (
                "-" if each.flow is None else each.flow.source,
                "-" if each.flow is None else each.flow.destination,
                "-" if each.flow is None else each.flow.service,
                _fate(each.before),
                _fate(each.after),
                packets,
            )
            for each, packets in changes[:_SHOWN]
        ]
        columns = ("source", "destination", "service", "before", "after", "#packets")
        show(table(columns, rows, title="flows that change, those cut off first"))
    more = len(changes) - _SHOWN
    if more > 0 or found.untold:
        untold = f", and {found.untold:,} packets of others" if found.untold else ""
        show(Text(f"{max(more, 0):,} more flows{untold}: --json has all that are told apart"))
    total = found.before
    cut = f", {total.truncated:,} of them cut by the snap length" if total.truncated else ""
    show(Text(f"{found.changed:,} of {total.packets:,} packets change{cut}"))


def _kinds(found: "Comparison") -> list[tuple[str, str, int, int]]:
    packets: Counter[tuple[int, str, str]] = Counter()
    flows: Counter[tuple[int, str, str]] = Counter()
    for each, count in found.changes.items():
        kind = each.rank, _fate(each.before), _fate(each.after)
        packets[kind] += count
        flows[kind] += 1
    order = sorted(packets, key=lambda kind: (kind[0], -packets[kind]))
    return [(kind[1], kind[2], packets[kind], flows[kind]) for kind in order]


def _fate(fate: "Fate") -> str:
    action = "would drop" if fate.would_drop else fate.action
    return f"{fate.verdict}, {action}"
