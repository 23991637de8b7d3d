"""What rules and dashboard ask a Prometheus, and which names and labels stand in that."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.scrape import ROOT

RULES = ROOT / "deploy/prometheus/peergate.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/peergate.json"

_SELECTOR = re.compile(r"\b(peergate_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_BY = re.compile(r"\bby\s*\(([^)]*)\)")
# What Prometheus adds itself.
OWN = {"instance", "job"}


@dataclass(frozen=True, slots=True)
class Used:
    """One selector: a metric's name, the values that labels are compared with, and the labels
    that the expression around it is grouped by."""

    name: str
    values: dict[str, frozenset[str]]
    grouped_by: frozenset[str]


def rules() -> dict[str, dict[str, Any]]:
    """By the alert's name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    found = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    assert len(found) == sum(len(group["rules"]) for group in groups)
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    """All of rules, panels and the dashboard's variables; these with nothing chosen."""
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = [each["definition"] for each in variables if "definition" in each]
    named = [re.fullmatch(r"label_values\((\w+), (\w+)\)", each) for each in asked]
    return [
        *(rule["expr"] for rule in rules().values()),
        *(plain(t["expr"]) for panel in panels() for t in panel.get("targets", ())),
        *(f"sum by ({each[2]}) ({each[1]})" for each in named if each is not None),
    ]


def plain(expression: str) -> str:
    """As Grafana asks it, with everything chosen."""
    return re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", "5m"))


def used(expression: str) -> Iterator[Used]:
    groups = {each.strip() for found in _BY.findall(expression) for each in found.split(",")}
    for name, matchers in _SELECTOR.findall(_BY.sub("", expression)):
        values = {
            label: frozenset(() if value == ".*" else value.split("|"))
            for label, _, value in _MATCHER.findall(matchers)
        }
        yield Used(name, values, frozenset(groups - {""}))
