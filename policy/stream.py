"""A policy file of any length, read one gateway and one peer at a time."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import yaml

from policy.errors import PolicyError, Problem
from policy.file import Loader

# Its line is that of the file, from 1.
Part = tuple[str, object, int]

PARTS = {"gateways": "gateway", "peers": "peer"}
# A peer's list of sources is the third.
_DEEPEST = 8


def parts(file: BinaryIO) -> Iterator[Part]:
    """("gateway", {...}, line) and ("peer", {...}, line), in their order and not checked any
    further. Raises PolicyError where it is no YAML, or not of a policy's form."""
    try:
        yield from _Reader(file).parts()
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise PolicyError((Problem(where, "", f"not a YAML document: {what}"),)) from None


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._loader: Any = Loader(file)

    def parts(self) -> Iterator[Part]:
        self._next(yaml.StreamStartEvent)
        if self._loader.check_event(yaml.StreamEndEvent):
            return
        self._next(yaml.DocumentStartEvent)
        self._next(yaml.MappingStartEvent)
        seen: set[str] = set()
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._next(yaml.ScalarEvent)
            name = event.value
            if name not in PARTS or name in seen:
                what = "stands twice" if name in seen else "is no part of a policy"
                raise _refusal(f"{name!r} {what}", event)
            seen.add(name)
            yield from self._items(PARTS[name])
        self._next(yaml.MappingEndEvent)
        self._next(yaml.DocumentEndEvent)
        self._next(yaml.StreamEndEvent)

    def _items(self, kind: str) -> Iterator[Part]:
        if self._loader.check_event(yaml.ScalarEvent):
            event = self._loader.peek_event()
            if self._value(0) is not None:  # nothing after `peers:` means none
                raise _refusal("a list is wanted here", event)
            return
        self._next(yaml.SequenceStartEvent)
        while not self._loader.check_event(yaml.SequenceEndEvent):
            line = self._loader.peek_event().start_mark.line + 1
            yield kind, self._value(0), line
            # It remembers all that it made.
            self._loader.constructed_objects.clear()
        self._next(yaml.SequenceEndEvent)

    def _value(self, depth: int) -> object:
        event = self._loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases are not allowed in a policy", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags are not allowed in a policy", event)
        if depth > _DEEPEST:
            raise _refusal("nothing in a policy is as deep as this", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not self._loader.check_event(yaml.SequenceEndEvent):
                items.append(self._value(depth + 1))
            self._loader.get_event()
            return items
        mapping: dict[str, object] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            key = self._loader.get_event()
            if not isinstance(key, yaml.ScalarEvent):
                raise _refusal("a key is a single word", key)
            if key.value in mapping:
                raise _refusal(f"{key.value!r} stands twice", key)
            mapping[key.value] = self._value(depth + 1)
        self._loader.get_event()
        return mapping

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if not event.implicit[0]:  # between quotes
            return event.value
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == "tag:yaml.org,2002:str":
            return event.value
        try:
            return self._loader.construct_object(yaml.ScalarNode(tag, event.value))
        except ValueError as error:
            raise _refusal(str(error), event) from error

    def _next(self, kind: type[yaml.Event]) -> Any:  # noqa: ANN401  # an event of that kind
        event = self._loader.get_event()
        if not isinstance(event, kind) or getattr(event, "tag", None) is not None:
            raise _refusal("a policy is a mapping of `gateways` and `peers`", event)
        return event


def _refusal(what: str, event: Any) -> yaml.YAMLError:  # noqa: ANN401  # any event
    return yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)
