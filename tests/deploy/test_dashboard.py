"""The dashboard: a document that Grafana reads, with questions that a Prometheus understands."""

import json
from pathlib import Path

import yaml

from tests.deploy.expressions import DASHBOARD, OWN, expressions, panels, used
from tests.scrape import documented, promtool


def test_every_name_and_label_is_documented() -> None:
    """And what is documented is held against real scrapes."""
    known = documented("On a router") | documented("On a registry")
    asked = [each for expression in expressions() for each in used(expression)]
    assert len(asked) > 40
    for each in asked:
        if each.name == "up":
            continue
        name = each.name.removesuffix("_bucket")
        assert name in known, each
        labels = known[name][1] | OWN | ({"le"} if name != each.name else set())
        assert each.values.keys() | each.grouped_by <= labels, each


def test_a_prometheus_understands_every_question(tmp_path: Path) -> None:
    file = tmp_path / "questions.yml"
    asked = [{"record": f"question:{n}", "expr": e} for n, e in enumerate(expressions())]
    file.write_text(yaml.safe_dump({"groups": [{"name": "questions", "rules": asked}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


def test_panels_have_places_of_their_own() -> None:
    document = json.loads(DASHBOARD.read_text())
    numbers = [each["id"] for each in panels()]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
    variables = {each["name"] for each in document["templating"]["list"]}
    assert variables == {"datasource", "router", "gateway", "registry"}
