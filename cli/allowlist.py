"""The allowlist as the registry holds it now."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import connect
from cli.errors import CliError

if TYPE_CHECKING:
    from control.model import Allowlist


def current_allowlist(
    url: str | None, token_file: Path | None, ca_file: Path | None, router: str | None
) -> "Allowlist":
    """All of it, or what one router gets. Raises CliError."""
    from control.reader import read_snapshot
    from policy.errors import PolicyError

    with (
        connect(url, token_file, ca_file) as registry,
        registry.stream("/v1/allowlist", "application/json", router=router) as pieces,
    ):
        try:
            return read_snapshot(pieces)
        except PolicyError as error:
            problem = error.problems[0]
            raise CliError(f"{registry.url}: its allowlist is refused: {problem}") from None
