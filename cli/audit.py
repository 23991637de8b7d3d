"""peergate audit: who changed what, and whether anybody changed the record of it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from cli.client import Json, Registry, connect
from cli.errors import CliError, RegistryError, UsageError
from cli.export import Output, opened
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import note, show, show_json, table
from cli.sheet import AsCsv, one_form, say_there_is_more, show_csv

if TYPE_CHECKING:
    from api.chain import Check

PATH = "/v1/audit"

_CSV = (
    *("number", "time", "actor.name", "actor.role", "from", "request", "action", "subject"),
    *("before", "after", "hash"),
)
_NOTED = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")
# Where all is broken, nobody reads all of it.
_FINDINGS = 100


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="The audit trail: who changed what.")
    made.command("list")(list_all)
    made.command("export")(export)
    made.command("verify")(verify)
    return made


def list_all(
    subject: Annotated[
        str | None, typer.Option(help="Of what, as in peer/17.", metavar="KIND/NAME")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="By whose token.", metavar="NAME")] = None,
    action: Annotated[
        str | None, typer.Option(help="What was done, as in peer.approve.", metavar="ACTION")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="From then on, as in 2026-12-01T00:00:00Z.", metavar="TIME")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before then.", metavar="TIME")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", metavar="N", min=1)] = 50,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """List what was changed, the latest first.

    Examples:
      peergate audit list
      peergate audit list --subject peer/17 --json
      peergate audit list --actor alice --since 2026-11-01T00:00:00Z
      peergate audit list --limit 5000 --csv > audit.csv
    """
    one_form(as_json=as_json, as_csv=as_csv)
    asked = {
        "subject": subject,
        "actor": actor,
        "action": action,
        "since": since,
        "until": until,
    }
    with connect(url, token_file, ca_file) as registry:
        found = list(islice(registry.pages(PATH, **asked), limit + 1))
    records = found[:limit]
    if as_json:
        show_json(records)
        return
    if as_csv:
        show_csv(records, _CSV)
        if len(found) > limit:
            say_there_is_more(limit)
        return
    rows = [
        (
            str(each["number"]),
            each["time"],
            each["actor"]["name"],
            each["from"],
            each["action"],
            each["subject"],
            ", ".join(_changed(each)),
        )
        for each in records
    ]
    show(table(("#number", "time", "actor", "from", "action", "subject", "fields"), rows))


def export(
    after: Annotated[
        int, typer.Option(help="Only what comes after this record.", metavar="N", min=0)
    ] = 0,
    output: Output = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Write all records, the oldest first, a JSON object a line.

    Examples:
      peergate audit export -o audit.ndjson
      peergate audit export --after 1200 >> audit.ndjson
    """
    with connect(url, token_file, ca_file) as registry, opened(output) as write:
        number = after
        for line in registry.lines(f"{PATH}/export", after=after):
            if b'"hash"' not in line:
                raise RegistryError("this is no audit trail; is this a peergate registry?")
            write(line + b"\n")
            number += 1
    if output is not None:
        note(f"{output}: {number - after} records")


def verify(
    file: Annotated[
        typer.FileBinaryRead | None,
        typer.Argument(
            help="An export, or - for stdin; else the registry is asked.",
            metavar="[FILE]",
        ),
    ] = None,
    noted: Annotated[
        list[str] | None,
        typer.Option(
            help="A head that was printed earlier: the chain must pass through it; repeatable.",
            metavar="N:HASH",
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Recompute the chain of hashes, and say where it is broken.

    Prints the head: note it somewhere else, and give it next time. Without it, a chain that was
    rewritten as a whole, or an export whose end was cut off, looks whole.
    Exit code 0: unbroken; 1: broken.

    Examples:
      peergate audit verify
      peergate audit verify audit.ndjson --noted 1200:5e884898da28...
    """
    from api.chain import Check, Link

    heads = [_noted(each) for each in noted or ()]
    with ExitStack() as stack:
        lines: Iterable[bytes]
        if file is None:
            registry = stack.enter_context(connect(url, token_file, ca_file))
            # Before the records: they may only have become more since.
            heads.append(_head(registry))
            lines = registry.lines(f"{PATH}/export")
        else:
            lines = file
        check = Check(Link(*head) for head in heads)
        findings = list(islice(_findings(check, lines), _FINDINGS))
        if file is None and check.last is not None and check.last.number > _head(registry)[0]:
            findings.append(f"record {check.last.number}: the registry does not know of it")
    head = None if check.last is None else f"{check.last.number}:{check.last.hash}"
    if as_json:
        show_json({"records": check.records, "head": head, "findings": findings})
    if findings:
        raise CliError("the audit trail is broken", tuple(findings))
    if not as_json:
        note(f"{check.records} records, unbroken; head {head}")


def _findings(check: "Check", lines: Iterable[bytes]) -> Iterator[str]:
    for line in lines:
        yield from check.take(line)
    yield from check.end()


def _head(registry: Registry) -> tuple[int, str]:
    told = registry.get(f"{PATH}/head").body
    return told["number"], told["hash"]


def _noted(text: str) -> tuple[int, str]:
    match = _NOTED.fullmatch(text)
    if match is None:
        raise UsageError(f"--noted {text}: must be NUMBER:HASH, as `peergate audit verify` prints")
    return int(match[1]), match[2]


def _changed(record: Json) -> list[str]:
    """The fields that differ; none where the subject is new or gone."""
    before, after = record["before"], record["after"]
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]
