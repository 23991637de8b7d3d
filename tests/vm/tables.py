"""What the kernels take, as docs/kernels.md states it: `python -m tests.vm.tables` writes that.

tests/vm/test_kernels.py measures, keeps what it found under build/, and compares it with the
document: features exactly; instructions of the verifier within a tolerance, where the kernel is
the release that the document names.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tests.vm.kernels import SERIES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "vm" / "kernels"
DOCUMENT = ROOT / "docs" / "kernels.md"

# The verifier's path through the same C differs a little between versions of LLVM.
TOLERANCE = 0.10

_BEGIN = "<!-- measured: made by `python -m tests.vm.tables` -->"
_END = "<!-- end of what was measured -->"
_KERNEL, _TRIED = "kernel", "tried last"
_ENTRIES = {"peergate": "instructions, live", "peergate_explain": "instructions, explaining"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One kernel. `instructions` by entry point, the others by the words of the document."""

    release: str
    features: Mapping[str, str]
    attachment: Mapping[str, str]
    instructions: Mapping[str, int]

    @classmethod
    def of(cls, text: str) -> Self:
        """From the JSON that tests/vm/guest/features.py prints."""
        return cls(**json.loads(text))

    def save(self, series: str) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{series}.json").write_text(json.dumps(asdict(self), indent=2) + "\n")

    @property
    def exact(self) -> dict[str, str]:
        return {**self.features, **self.attachment}


def render(measured: Mapping[str, Measured]) -> str:
    """Three tables: a column for each kernel, a row for each thing."""
    found = list(measured.values())
    tried = (_TRIED, [each.release for each in found])
    first = found[0]
    tables = {
        "What the kernel has": [
            tried,
            *((row, [each.features[row] for each in found]) for row in first.features),
        ],
        "Attachment": [(row, [each.attachment[row] for each in found]) for row in first.attachment],
        "The verifier": [
            (row, [f"{each.instructions[entry]:,}" for each in found])
            for entry, row in _ENTRIES.items()
        ],
    }
    head = (_KERNEL, list(measured))
    return "\n\n".join(f"### {title}\n\n{_table(head, *rows)}" for title, rows in tables.items())


def _table(*rows: tuple[str, list[str]]) -> str:
    (head, columns), *rest = rows
    ruled = [(head, columns), ("---", ["---"] * len(columns)), *rest]
    return "\n".join(f"| {' | '.join([name, *cells])} |" for name, cells in ruled)


def stated(document: str) -> dict[str, dict[str, str]]:
    """What the document says, by kernel and row."""
    _, _, rest = document.partition(_BEGIN)
    said: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in rest.partition(_END)[0].splitlines():
        name, *cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if name == _KERNEL:
            columns = cells
        elif cells and name != "---":
            for series, cell in zip(columns, cells, strict=True):
                said.setdefault(series, {})[name] = cell
    return said


def differences(said: Mapping[str, str], found: Measured) -> list[str]:
    """Where the document is not true of this kernel any more, in words."""
    wrong = [
        f"{row}: stated {said.get(row)!r}, measured {cell!r}"
        for row, cell in found.exact.items()
        if said.get(row) != cell
    ]
    same_release = said.get(_TRIED) == found.release
    for entry, row in _ENTRIES.items():
        number = int(said.get(row, "0").replace(",", ""))
        if same_release and abs(found.instructions[entry] - number) > TOLERANCE * number:
            wrong.append(f"{row}: stated {number}, measured {found.instructions[entry]}")
    gone = set(said) - set(found.exact) - set(_ENTRIES.values()) - {_TRIED}
    return wrong + [f"{row}: stated, and not measured" for row in sorted(gone)]


def main() -> int:
    measured = {}
    for series in SERIES:
        path = RESULTS / f"{series}.json"
        if not path.exists():
            print(f"{path}: missing: run `make test-vm KERNELS={series}` first", file=sys.stderr)
            return 1
        measured[series] = Measured.of(path.read_text())
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(_BEGIN)
    after = rest.partition(_END)[2]
    DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{render(measured)}\n\n{_END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
