"""How a view of `peergate top` looks: on a screen of any size, as text, as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.client import Json
from cli.output import harmless

if TYPE_CHECKING:
    from control.top import Busy, GatewayRates, View

# Of peers, and of strangers: so many a line of JSON has, and so many text has.
_MOST, _SHOWN = 100, 10
_KEYS = "q quit   s sort by rate or name   p pause"
# Headings with a blank line before each, of three tables.
_HEADINGS = 6
_DROPPING = ("expired", "unregistered", "malformed")


@dataclass(slots=True)
class Manner:
    """How it is shown now."""

    by_name: bool = False
    paused: bool = False

    def __str__(self) -> str:
        return f"by {'name' if self.by_name else 'rate'}{', paused' if self.paused else ''}"


def as_json_line(view: "View") -> Json:
    from policy.window import rfc3339

    return {
        "router": view.router,
        "agent": view.agent,
        "time": rfc3339(view.time),
        "seconds": round(view.seconds, 3),
        "gateways": [
            {
                "name": each.name,
                "enforces": each.enforces,
                "rates": {
                    name: {"packets": round(rate.packets, 1), "bytes": round(rate.bytes, 1)}
                    for name, rate in each.rates.items()
                },
            }
            for each in view.gateways
        ],
        "peers": [_busy_json("peer", each) for each in view.peers[:_MOST]],
        "strangers": [
            {**_busy_json("service", each), "dropped": each.dropped}
            for each in view.strangers[:_MOST]
        ],
        "troubles": list(view.troubles),
    }


def _busy_json(who: str, busy: "Busy") -> Json:
    return {
        "gateway": busy.gateway,
        "source": str(busy.source),
        who: busy.who,
        "packets": round(busy.packets, 1),
        "samples": busy.samples,
    }


def as_text(view: "View") -> RenderableType:
    return Group(*_parts(view, Manner(), len(view.gateways), _SHOWN, _SHOWN), Text(""))


def on_screen(view: "View", manner: Manner, height: int) -> RenderableType:
    """As much as there is room for, the busiest first."""
    room = max(height - 2 - _HEADINGS - len(view.troubles), 3)
    third = room // 3
    gateways = min(len(view.gateways), max(third, room - len(view.peers) - len(view.strangers)))
    peers = min(len(view.peers), max(third, room - gateways - len(view.strangers)))
    strangers = min(len(view.strangers), room - gateways - peers)
    keys = Text(_KEYS, style="dim", no_wrap=True)
    return Group(*_parts(view, manner, gateways, peers, strangers), keys)


def _parts(
    view: "View", manner: Manner, gateways: int, peers: int, strangers: int
) -> list[RenderableType]:
    from policy.window import rfc3339

    agent = f"agent {view.agent}" if view.agent else "no agent"
    at = rfc3339(view.time.replace(microsecond=0))
    head = f"{harmless(view.router)}   {agent}   {at}   {view.seconds:.1f} s   {manner}"
    return [
        Text(head, style="bold", no_wrap=True, overflow="ellipsis"),
        *(Text(harmless(each), "yellow", no_wrap=True) for each in view.troubles),
        _gateways(view.gateways, manner, gateways),
        _busy("peer", _sorted(view.peers, manner)[:peers]),
        _busy("stranger's service", _sorted(view.strangers, manner)[:strangers]),
    ]


def _gateways(found: "Sequence[GatewayRates]", manner: Manner, count: int) -> Table:
    """Where no gateway is known comes last."""
    made = _table("gateway", "", "#registered", "#unprotected", "#would drop", "#drop", "#Mbit/s")
    rows = sorted(found, key=lambda each: each.name or "")
    if not manner.by_name:
        rows.sort(key=lambda each: -each.total.packets)
    rows.sort(key=lambda each: each.name is None)
    for each in rows[:count]:
        name, mode = "elsewhere", ""
        if each.name is not None:
            name, mode = each.name, "enforces" if each.enforces else "monitors"
        figures = (
            each.packets(("registered",), "pass"),
            each.packets(("unprotected", "bystander", "other"), "pass"),
            each.packets(_DROPPING, "pass"),
            each.packets(_DROPPING, "drop"),
        )
        megabits = f"{each.total.bytes * 8 / 1e6:,.1f}"
        made.add_row(harmless(name), mode, *map(_figure, figures), megabits)
    return made


def _busy(who: str, found: "Iterable[Busy]") -> Table:
    made = _table(who, "source", "gateway", "#packets/s", "#samples")
    for each in found:
        dropped = "red" if each.dropped else ""
        named = (harmless(each.who), Text(str(each.source), dropped), harmless(each.gateway))
        made.add_row(*named, _figure(each.packets), str(each.samples))
    return made


def _sorted(found: "Sequence[Busy]", manner: Manner) -> "list[Busy]":
    ordered = sorted(found, key=lambda busy: (busy.source.version, busy.source.packed))
    if not manner.by_name:
        ordered.sort(key=lambda busy: -busy.packets)
    return ordered


def _table(*columns: str) -> Table:
    """One line a row: what is too long is cut."""
    made = Table(box=None, pad_edge=False, expand=False, title=None, padding=(0, 2, 0, 0))
    for column in columns:
        number = column.startswith("#")
        made.add_column(
            f"\n{column.removeprefix('#')}",
            justify="right" if number else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=None if number else 39,
        )
    return made


def _figure(rate: float) -> str:
    if rate == 0:
        return "-"
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
