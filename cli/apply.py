"""peergate apply: make the registry match a policy file, whole or not at all."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli import policy_lines
from cli.client import Json, Registry, connect
from cli.errors import CliError, RegistryError
from cli.impact import show_impact
from cli.imports import opened
from cli.options import AsJson, CaFile, TokenFile, Url, Yes
from cli.output import ask, harmless, interactive, show, show_json, warn

if TYPE_CHECKING:
    from policy.document import Policy

PATH = "/v1/policy"

_SIGNS = {
    "add": ("+", "green"),
    "approve": ("+", "green"),
    "change": ("~", "yellow"),
    "remove": ("-", "red"),
    "revoke": ("-", "red"),
}
_REMOVING = ("remove", "revoke")
_FIELD = re.compile(r"(gateways|peers)\[\d+\][^:]*")


def apply(
    file: Annotated[
        str, typer.Option("--file", "-f", help="The policy, - for stdin.", metavar="FILE")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the differences and change nothing.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make the registry match a policy file, whole or not at all.

    Gateways that the file does not name are removed, peers revoked. On a terminal it asks
    before that. Pending peers that the file does not name stay. Of a file above 4 MiB, or where
    the registry has more than 50,000 peers, it tells the differences in numbers alone.

    Examples:
      peergate apply -f policy.yaml --dry-run
      peergate apply -f policy.yaml --yes
      cat policy.yaml | peergate apply -f - --json
    """
    if file != "-" and policy_lines.is_large(file):
        with connect(url, token_file, ca_file) as registry:
            _apply_large(file, dry_run, yes, as_json, registry)
        return
    # What is not said is not sent: bounds that are not stay as they are.
    text, policy = _read(file)
    wanted = policy.model_dump(mode="json", exclude_unset=True)
    with connect(url, token_file, ca_file) as registry, _told_by_line(text):
        try:
            plan = registry.replace(PATH, wanted, None, dry_run="true")
        except RegistryError as error:
            if error.kind != "too-many-peers" or file == "-":
                raise
            _apply_large(file, dry_run, yes, as_json, registry)
            return
        planned: Json = plan.body
        changes = planned["changes"]
        if not as_json:
            _show_changes(changes)
            if dry_run and planned["impact"] is not None:
                show_impact(planned["impact"])
        if dry_run or not changes:
            done = planned
        else:
            removing = [each for each in changes if each["action"] in _REMOVING]
            # On stdin stands the policy, or nobody.
            if removing and not yes and file != "-" and interactive():
                _confirm(len(removing))
            # On the state that the plan was made for: whoever changes it meanwhile wins.
            done = registry.replace(PATH, wanted, plan.etag).body
    for warning in done["warnings"]:
        warn(str(warning))
    if as_json:
        show_json(done)
    elif changes:
        verdict = "nothing was changed (dry run)" if dry_run else "applied"
        show(Text(f"{_counted(changes)}: {verdict}, revision {done['revision']}", style="bold"))
    else:
        show(f"nothing to do: the registry matches, revision {done['revision']}")


def read_policy(file: str) -> "Policy":
    """The policy in a file, or on stdin for `-`. Raises CliError with every problem."""
    return _read(file)[1]


def _read(file: str) -> "tuple[str, Policy]":
    """Its text, and what that says."""
    from policy.errors import PolicyError
    from policy.file import parse_policy, read_text

    try:
        text = sys.stdin.buffer.read().decode() if file == "-" else read_text(Path(file))
        return text, parse_policy(text)
    except UnicodeDecodeError:
        raise CliError("stdin: not a text file in UTF-8") from None
    except PolicyError as error:
        where = "stdin" if file == "-" else file
        problems = tuple(str(problem).removeprefix(f"{where}: ") for problem in error.problems)
        said = f"{where}: {len(problems)} problems" if len(problems) > 1 else where
        raise CliError(said, problems) from None


@contextmanager
def _told_by_line(text: str) -> Iterator[None]:
    """What the registry says of a gateway or a peer, with the line that it has in the file."""
    from policy.file import places_of

    try:
        yield
    except RegistryError as error:
        places = places_of(text) if error.details else None

        def with_line(detail: str) -> str:
            field = _FIELD.match(detail)
            line = places.line(field[0]) if places is not None and field is not None else None
            return detail if line is None else f"line {line}: {detail}"

        details = tuple(map(with_line, error.details))
        raise RegistryError(error.message, details, error.status, error.kind) from error


def _show_changes(changes: list[Json]) -> None:
    for change in changes:
        sign, style = _SIGNS[change["action"]]
        place = "" if change["kind"] == "gateway" else f" at {harmless(change['gateway'])}"
        what = f"{sign} {change['action']} {change['kind']} {harmless(change['name'])}{place}"
        show(Text(what, style=f"bold {style}"))
        if change["action"] in _REMOVING:
            continue
        for name, (before, after) in change["fields"].items():
            for line in _field(name, before, after):
                show(line)


def _field(name: str, before: object, after: object) -> list[Text]:
    """One field as a diff: of lists only what goes and what comes."""
    if isinstance(before, list) and isinstance(after, list):
        had, has = set(before), set(after)
        lines = [("-", each, "red") for each in before if each not in has]
        lines += [("+", each, "green") for each in after if each not in had]
    else:
        lines = [("-", before, "red")] if before not in (None, []) else []
        if after not in (None, []):
            each = after if isinstance(after, list) else [after]
            lines += [("+", ", ".join(map(str, each)), "green")]
    return [
        Text(f"    {sign} {harmless(name)}: {harmless(value)}", style=style)
        for sign, value, style in lines
    ]


def _apply_large(file: str, dry_run: bool, yes: bool, as_json: bool, registry: Registry) -> None:
    def confirm(going: int) -> None:
        if not yes and interactive():
            _confirm(going)

    with opened(file) as policy:
        policy_lines.apply(
            registry, policy, file, dry_run=dry_run, as_json=as_json, confirm=confirm
        )


def _confirm(removing: int) -> None:
    many = f"{removing} gateways and peers" if removing > 1 else "1 gateway or peer"
    if not ask(f"This removes or revokes {many}. Apply?"):
        raise CliError("nothing was changed")


def _counted(changes: list[Json]) -> str:
    words = {"add": "added", "approve": "approved", "change": "changed"}
    words |= {"remove": "removed", "revoke": "revoked"}
    counts = {
        word: sum(change["action"] == action for change in changes)
        for action, word in words.items()
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
