"""What a command may fail with: one line for a person, and the exit code for scripts."""


class CliError(Exception):
    """The command failed; exit code 1. `details` are further lines, each one problem."""

    exit_code = 1

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class UsageError(CliError):
    """The command was given something that it cannot take; exit code 2."""

    exit_code = 2


class RegistryError(CliError):
    """The registry was not reached, or refused. `status` is HTTP's, if there was an answer, and
    `kind` the last word of the problem's type."""

    def __init__(
        self,
        message: str,
        details: tuple[str, ...] = (),
        status: int | None = None,
        kind: str = "",
    ) -> None:
        super().__init__(message, details)
        self.status = status
        self.kind = kind
