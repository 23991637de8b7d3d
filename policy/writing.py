"""policy.yaml as text, piece by piece, so that its length does not matter."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

# What YAML does not take as it stands between quotes.
_SPECIAL = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]")


def part(name: str, items: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """`gateways` or `peers`, with all that is in it."""
    texts = [item(each) for each in items]
    yield head(name) if texts else f"{name}: []\n"
    yield from texts


def head(name: str) -> str:
    """What comes before a part's first item."""
    return f"{name}:\n"


def item(fields: Mapping[str, object]) -> str:
    """One gateway or peer, of fields as JSON has them; those that are null are left out."""
    said = [f"{name}: {_value(value)}\n" for name, value in fields.items() if value is not None]
    return "  - " + "    ".join(said)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_value(each)}' for name, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # Always between quotes: a name may be `no`, or a number.
    quoted = json.dumps(value, ensure_ascii=False)
    return _SPECIAL.sub(lambda found: f"\\U{ord(found[0]):08x}", quoted)
