"""Where the services' log lines go, and how they look: text for people, or JSON."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from cli.output import harmless

LogFormat = Literal["text", "json"]
AsLogged = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="PEERGATE_LOG_FORMAT",
        help="Lines on stderr for people, or JSON objects for programs.",
    ),
]

# What every record has; the rest is what one event says of itself.
_COMMON = {*logging.makeLogRecord({}).__dict__, "asctime", "message", "taskName", "color_message"}
# sd-daemon(3): the journal takes these off a line, and knows its priority by them.
_PRIORITIES = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))


def log_to_stderr(form: LogFormat = "text") -> None:
    """One line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((_Json if form == "json" else _Text)(journal=_is_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # One line a request says nothing that the events do not.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _is_journal() -> bool:
    """Whether stderr is systemd's; the variable is inherited by whoever has another one, too."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _Text(logging.Formatter):
    """Names and causes come from outside: whatever stands in them begins no line of its own."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        lines = [f"{record.levelname} {harmless(record.getMessage())}"]
        if not self._journal:  # which has the time already
            lines[0] = f"{self.formatTime(record)} {lines[0]}"
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += [f"  | {harmless(line)}" for line in traceback.split("\n")]
        before = _priority(record) if self._journal else ""
        return "\n".join(before + line for line in lines)


class _Json(logging.Formatter):
    """One object a line; what is no ASCII is escaped."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = {name: value for name, value in record.__dict__.items() if name not in _COMMON}
        if record.exc_info:
            more["traceback"] = self.formatException(record.exc_info)
        line = json.dumps(more | said, default=str)
        return (_priority(record) if self._journal else "") + line


def _utc(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _priority(record: logging.LogRecord) -> str:
    return next((text for level, text in _PRIORITIES if record.levelno >= level), "<7>")
