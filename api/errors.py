"""What can go wrong below HTTP. The application gives each class its status."""

from policy.errors import Problem


class ApiError(Exception):
    """Anything that the registry service refuses or cannot do.

    `kind` is a stable word for programs, in the problem's type. Of very many problems only the
    first are named; `total` is how many there are.
    """

    def __init__(
        self,
        message: str,
        kind: str = "",
        problems: tuple[Problem, ...] = (),
        total: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.problems = problems
        self.total = total


class SettingsError(ApiError):
    """The service cannot start or be set up like this; the message says what to do."""


class UnauthorizedError(ApiError):
    """No token, or none that is ours."""


class UnavailableError(ApiError):
    """The database does not answer."""


class UnansweredError(ApiError):
    """A router that was asked says nothing."""


class NotFoundError(ApiError):
    """There is no such thing."""


class ConflictError(ApiError):
    """Right by itself, but it does not fit what is registered."""


class RefusedError(ApiError):
    """Wrong by itself; `problems` says where."""


class ForbiddenError(ApiError):
    """The caller's role does not allow it."""


class StaleError(ApiError):
    """The caller has seen another version than the one in force."""


class VersionMissingError(ApiError):
    """The caller does not say which version the change is meant for."""


class ThrottledError(ApiError):
    """Too often, or too many failures of this origin: it may try again after so many seconds."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class GoneError(ApiError):
    """Changes from so far back are not kept."""
