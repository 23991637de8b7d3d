"""A policy file that is too large for one request: as lines, sent to /v1/policy/import."""

import json
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import BinaryIO

from cli.client import Json, Registry
from cli.errors import CliError, RegistryError
from cli.impact import show_impact
from cli.imports import counted, send
from cli.output import note, show_json, warn
from cli.progress import counting

# Less than the registry takes in one piece, and more than anybody reads through.
LARGE = 4 * 1024 * 1024
_PATH = "/v1/policy/import"
_LINE = re.compile(r"^line (\d+): ")


def is_large(file: str) -> bool:
    try:
        return Path(file).stat().st_size > LARGE
    except OSError:
        return False  # whoever reads it says why it cannot be


def apply(
    registry: Registry,
    policy: BinaryIO,
    name: str,
    *,
    dry_run: bool,
    as_json: bool,
    confirm: Callable[[int], None],
) -> None:
    """As `peergate apply` does it, told in numbers. `confirm` is asked about what goes."""
    with tempfile.TemporaryFile() as file:
        lines = _Lines(policy, name, file)
        done = lines.send(registry, None, dry_run="true")
        going = done["peers"]["revoked"] + done["gateways"]["removed"]
        changes = [
            n for kind in ("peers", "gateways") for w, n in done[kind].items() if w != "unchanged"
        ]
        if not dry_run and any(changes):
            if going:
                confirm(going)
            done = lines.send(registry, done["etag"])
    if dry_run and not as_json and done["impact"] is not None:
        show_impact(done["impact"])
    for warning in done["warnings"]:
        warn(str(warning))
    if as_json:
        show_json(done)
        return
    verdict = "nothing was changed (dry run)" if done["dry_run"] and dry_run else "applied"
    if not any(changes):
        verdict = "nothing to do"
    gateways, peers = (counted(done, kind) or "none" for kind in ("gateways", "peers"))
    note(f"gateways: {gateways}; peers: {peers}: {verdict}, revision {done['revision']}")


class _Lines:
    """The policy, as lines in a file. Raises CliError where it is none."""

    def __init__(self, policy: BinaryIO, name: str, file: BinaryIO) -> None:
        from policy.errors import PolicyError
        from policy.stream import parts

        self._file = file
        # Where gateways or peers begin: line sent, kind, index.
        self._runs: list[tuple[int, str, int]] = []
        # Of each line sent, that of the file.
        self._lines = array("I")
        many: Counter[str] = Counter()
        try:
            with counting("gateways and peers read") as told:
                for number, (kind, content, line) in enumerate(parts(policy), 1):
                    self._lines.append(line)
                    if not self._runs or self._runs[-1][1] != kind:
                        self._runs.append((number, kind, many[kind]))
                    many[kind] += 1
                    text = json.dumps({kind: content}, default=_written)
                    file.write(text.encode() + b"\n")
                    if number % 1000 == 0:
                        told(number)
        except PolicyError as error:
            raise CliError(name, tuple(map(str, error.problems))) from None

    def send(self, registry: Registry, etag: str | None, **query: object) -> Json:
        """The result. Raises RegistryError, in which lines are those of the file."""
        self._file.seek(0)
        try:
            return send(registry, _PATH, self._file, etag, **query)
        except RegistryError as error:
            details = tuple(_LINE.sub(self._place, each) for each in error.details)
            raise RegistryError(error.message, details, error.status) from error

    def _place(self, found: re.Match[str]) -> str:
        sent = int(found[1])
        start, kind, index = max(run for run in self._runs if run[0] <= sent)
        return f"line {self._lines[sent - 1]}: {kind}s[{index + sent - start}]: "


def _written(value: object) -> str:
    """YAML reads a time that stands without quotes."""
    return value.isoformat() if isinstance(value, date) else str(value)
