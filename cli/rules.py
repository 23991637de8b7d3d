"""peergate rules: what every registration keeps to."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client import Json, connect
from cli.errors import RegistryError, UsageError
from cli.options import AsJson, CaFile, TokenFile, Url
from cli.output import details, note, show, show_json

PATH = "/v1/rules"


def group() -> typer.Typer:
    made = typer.Typer(no_args_is_help=True, help="Rules: what every registration keeps to.")
    made.command("show")(show_all)
    made.command("set")(set_some)
    return made


def show_all(
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show the rules, with the operator's terms of use.

    Examples:
      peergate rules show
    """
    with connect(url, token_file, ca_file) as registry:
        rules = registry.get(PATH).body
    if as_json:
        show_json(rules)
        return
    terms = rules["terms"] or {}
    text = terms.get("text")
    show(
        details(
            {
                "four eyes": rules["four_eyes"],
                "longest validity": _days(rules["longest_days"]),
                "terms of use": terms.get("version"),
                "terms at": terms.get("url"),
                "terms say": None if text is None else text.splitlines(),
            }
        )
    )


def set_some(
    four_eyes: Annotated[
        bool | None,
        typer.Option(
            "--four-eyes/--no-four-eyes", help="Who asks for something does not approve it."
        ),
    ] = None,
    longest_days: Annotated[
        str | None,
        typer.Option(help="A registration lasts so long at most; none takes that away."),
    ] = None,
    terms_version: Annotated[
        str | None,
        typer.Option(
            help="The version of new terms of use, which who asks for a peer acknowledges; "
            "none takes them away.",
            metavar="VERSION",
        ),
    ] = None,
    terms_file: Annotated[
        Path | None, typer.Option(help="A file with their text.", metavar="FILE")
    ] = None,
    terms_url: Annotated[
        str | None, typer.Option(help="Where they can be read.", metavar="URL")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Change rules; what is not named stays. They hold for what is asked from now on.

    Examples:
      peergate rules set --four-eyes --longest-days 366
      peergate rules set --terms-version 2026-11 \\
          --terms-url https://www.example.net/terms
      peergate rules set --terms-version none --no-four-eyes --longest-days none
    """
    body: Json = {}
    if four_eyes is not None:
        body["four_eyes"] = four_eyes
    if longest_days is not None:
        body["longest_days"] = _number(longest_days)
    if terms_version == "none":
        body["terms"] = None
    elif terms_version is not None:
        text = None if terms_file is None else _text(terms_file)
        body["terms"] = {"version": terms_version, "text": text, "url": terms_url}
    elif terms_file is not None or terms_url is not None:
        raise UsageError("terms of use need --terms-version, for who acknowledges them names it")
    if not body:
        raise UsageError("nothing to change: name at least one option, see --help")
    with connect(url, token_file, ca_file) as registry:
        changed = registry.change(PATH, body).body
    if not body.keys() <= changed.keys():
        raise RegistryError("the answer holds no rules; is this a peergate registry?")
    if as_json:
        show_json(changed)
    else:
        note("the rules are changed")


def _number(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--longest-days {text}: must be a number of days, or none")
    return int(text)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"--terms-file {file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--terms-file {file}: not a text file in UTF-8") from None


def _days(number: int | None) -> str | None:
    return None if number is None else f"{number} days"
