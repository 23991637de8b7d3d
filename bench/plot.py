"""The figures as an SVG: what a packet costs as registrations grow, and a flood beside others."""

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from bench.rows import Row

_COLOURS = {
    "registered": "#0b6e4f",
    "unregistered": "#c1121f",
    "unregistered-inside": "#e08e0b",
    "bystander": "#33658a",
}
_WIDTH, _PANEL, _TOP, _HEIGHT = 760, 300, 50, 200
_LEFT, _GAP = 50, 60
_BAR, _STEP = 14, 22
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.axis{stroke:#999}"
    ".grid{stroke:#e4e4e4}.line{fill:none;stroke-width:2}@media(prefers-color-scheme:dark)"
    "{text{fill:#ddd}.grid{stroke:#444}}"
)


def svg(rows: Sequence[Row]) -> str:
    """One picture of the rows `lookup` and `flood`; the scales are logarithmic."""
    lookups = [row for row in rows if row["bench"] == "lookup"]
    floods = [row for row in rows if row["bench"] == "flood" and "ratio" in row]
    height = _TOP + _HEIGHT + 90 + (40 + _STEP * len(floods) if floods else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'role="img" aria-label="What a packet costs"><style>{_STYLE}</style>'
    ]
    for number, family in enumerate((4, 6)):
        mine = [row for row in lookups if row["family"] == family]
        if mine:
            parts += _panel(mine, family, _LEFT + number * (_PANEL + _GAP))
    parts += _legend(_TOP + _HEIGHT + 50)
    parts += _bars(floods, _TOP + _HEIGHT + 100)
    return "\n".join([*parts, "</svg>", ""])


def _panel(rows: Sequence[Row], family: int, left: float) -> Iterator[str]:
    sizes = sorted({_number(row, "registered") for row in rows})
    most = max(_number(row, "ratio") for row in rows)
    highest = 2 ** math.ceil(math.log2(max(most, 2)))

    def x(size: float) -> float:
        span = math.log(sizes[-1] / sizes[0]) or 1.0
        return left + _PANEL * math.log(size / sizes[0]) / span

    def y(ratio: float) -> float:
        return _TOP + _HEIGHT * (1 - math.log2(max(ratio, 1.0)) / math.log2(highest))

    yield _text(left, _TOP - 20, f"IPv{family}: times parse and drop", "title")
    for power in range(int(math.log2(highest)) + 1):
        at = y(2**power)
        yield f'<path class="grid" d="M{left:g} {at:.1f}h{_PANEL}"/>'
        yield _text(left - 8, at + 4, str(2**power), anchor="end")
    for size in sizes:
        yield _text(x(size), _TOP + _HEIGHT + 18, f"{size:,.0f}", anchor="middle")
    for traffic, colour in _COLOURS.items():
        points = sorted(
            (_number(row, "registered"), _number(row, "ratio"))
            for row in rows
            if row["traffic"] == traffic
        )
        path = "L".join(f"{x(size):.1f} {y(ratio):.1f}" for size, ratio in points)
        if path:
            yield f'<path class="line" stroke="{colour}" d="M{path}"/>'
        for size, ratio in points:
            yield f'<circle cx="{x(size):.1f}" cy="{y(ratio):.1f}" r="3" fill="{colour}"/>'


def _legend(top: float) -> Iterator[str]:
    yield _text(_LEFT, top - 8, "Across: registrations. Packets:")
    for number, (traffic, colour) in enumerate(_COLOURS.items()):
        left = _LEFT + number * 160
        yield f'<rect x="{left}" y="{top + 4}" width="12" height="12" fill="{colour}"/>'
        yield _text(left + 18, top + 14, traffic)


def _bars(rows: Sequence[Row], top: float) -> Iterator[str]:
    """Costs divided by peergate's; peergate is the line at 1."""
    if not rows:
        return
    yield _text(_LEFT, top, "Flood of unregistered packets: times what peergate takes", "title")
    left, width = 300, _WIDTH - 400
    ratios = [_number(row, "ratio") for row in rows]
    low, high = math.log(min(*ratios, 0.5)), math.log(max(*ratios, 2.0))

    def x(ratio: float) -> float:
        return left + width * (math.log(ratio) - low) / (high - low)

    for number, row in enumerate(rows):
        at, ratio = top + 16 + number * _STEP, _number(row, "ratio")
        start, end = sorted((x(1.0), x(ratio)))
        colour = "#33658a" if ratio >= 1 else "#e08e0b"
        name = f"IPv{row['family']}, {_number(row, 'registered'):,.0f}: {row['against']}"
        yield _text(left - 10, at + 11, name, anchor="end")
        yield (
            f'<rect x="{start:.1f}" y="{at}" width="{max(end - start, 1):.1f}" '
            f'height="{_BAR}" fill="{colour}"/>'
        )
        yield _text(x(max(ratio, 1.0)) + 6, at + 11, f"{ratio:.2g}")
    yield f'<path class="axis" d="M{x(1.0):.1f} {top + 10}v{_STEP * len(rows)}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _number(row: Row, name: str) -> float:
    return float(str(row[name]))
