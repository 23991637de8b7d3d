"""What a Prometheus would make of an answer to its scrape, and what promtool says of it."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
PROMTOOL = "/usr/bin/promtool"


@dataclass(frozen=True, slots=True)
class Scrape:
    """`values` by a sample's name and labels; `families` by their names, with type and help."""

    text: str
    values: dict[tuple[str, frozenset[tuple[str, str]]], float]
    families: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, text: str) -> Self:
        values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        families = {}
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            families[name] = (family.type, family.documentation)
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in values, f"twice: {sample}"
                values[key] = sample.value
        return cls(text, values, families)

    def value(self, name: str, **labels: str) -> float:
        return self.values[name, frozenset(labels.items())]

    def labels(self) -> dict[str, set[str]]:
        """By a sample's name, which labels its samples have."""
        found: dict[str, set[str]] = {}
        for name, labels in self.values:
            found.setdefault(name, set()).update(label for label, _ in labels)
        return found

    def described(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Type and labels of peergate's own, by name."""
        labels = self.labels()
        return {
            name: (
                type_,
                frozenset(labels[f"{name}_count" if type_ == "histogram" else name]),
            )
            for name, (type_, _) in self.families.items()
            if name.startswith("peergate_")
        }

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The data plane's, which never go backwards."""
        names = ("peergate_packets_total", "peergate_bytes_total")
        return {key: value for key, value in self.values.items() if key[0] in names}


def documented(section: str) -> dict[str, tuple[str, frozenset[str]]]:
    """The same, of a section's table in docs/metrics.md."""
    text = (ROOT / "docs/metrics.md").read_text()
    part = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\| .+ \|$", part, re.MULTILINE)
    assert rows, section
    found = {name: (type_, frozenset(re.findall(r"`(\w+)`", given))) for name, type_, given in rows}
    assert len(found) == len(rows)
    return found


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    """What it prints; its opinion must be good."""
    done = subprocess.run(
        [PROMTOOL, *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_good(scrapes: Iterable[Scrape]) -> None:
    for scrape in scrapes:
        assert promtool("check", "metrics", given=scrape.text) == ""
