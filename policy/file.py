"""Reads policy files: YAML without its traps."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from policy.document import Policy, check_policy
from policy.errors import PolicyError, Problem
from policy.places import Places

try:
    _Base: Any = yaml.CSafeLoader
except AttributeError:  # a PyYAML without libyaml: the same, slower
    _Base = yaml.SafeLoader


class Loader(_Base):  # type: ignore[misc]  # which base it is, is known at run time only
    """A key said twice is an error, and so is one that is no scalar."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[Hashable] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refusal("a key is a single word", key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise _refusal(f"{key!r} stands twice", key_node.start_mark)
            keys.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _refusal(what: str, mark: Any) -> yaml.YAMLError:  # noqa: ANN401  # C's and Python's Mark
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def parse_policy(text: str) -> Policy:
    """The policy in `text`. Raises PolicyError with every problem."""
    try:
        for event in yaml.parse(text, Loader=_Base):
            if isinstance(event, yaml.AliasEvent):  # a few of them can grow without bound
                raise _refusal("aliases are not allowed in a policy", event.start_mark)
            if getattr(event, "tag", None) is not None:  # `!!int ""` breaks its constructor
                raise _refusal("tags are not allowed in a policy", event.start_mark)
        data = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise PolicyError((Problem(where, "", f"not a YAML document: {what}"),)) from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise PolicyError((Problem("", "", "a policy is a mapping of `gateways` and `peers`"),))
    try:
        # `peers:` with nothing after it is YAML's null, and means none.
        return check_policy({key: () if value is None else value for key, value in data.items()})
    except PolicyError as error:
        raise PolicyError(tuple(map(places_of(text).of, error.problems))) from None


def places_of(text: str) -> Places:
    """Of a policy that could be parsed."""
    return Places(text, _Base)


def load_policy(path: Path) -> Policy:
    """The policy in a file. Raises PolicyError, also where the file cannot be read."""
    return parse_policy(read_text(path))


def read_text(path: Path) -> str:
    """Raises PolicyError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError((Problem(str(path), "", error.strerror or str(error)),)) from None
    except UnicodeDecodeError:
        raise PolicyError((Problem(str(path), "", "not a text file in UTF-8"),)) from None
