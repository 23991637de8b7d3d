"""Where in a policy file a field stands, for what is wrong with it to be found."""

import re
from typing import Any

import yaml

from policy.errors import Problem

# peers[1].sources[0]: names, and numbers in brackets.
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Places:
    """Of a text that was read as YAML already."""

    def __init__(self, text: str, loader: Any) -> None:  # noqa: ANN401  # C's or Python's
        self._root: yaml.Node | None = yaml.compose(text, Loader=loader)

    def line(self, field: str) -> int | None:
        """From 1; that of the item around it where the field itself is not there."""
        node, line = self._root, None
        for name, index in _STEP.findall(field):
            found = _item(node, int(index)) if index else _value(node, name)
            if found is None:
                break
            node, at = found
            line = at.start_mark.line + 1
        return line

    def of(self, problem: Problem) -> Problem:
        """The same, with its line."""
        return Problem(problem.field, problem.value, problem.rule, self.line(problem.field))


def _item(node: yaml.Node | None, index: int) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.SequenceNode) or index >= len(node.value):
        return None
    return node.value[index], node.value[index]


def _value(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """The value, and its key, which has the line."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((value, key) for key, value in node.value if key.value == name), None)
