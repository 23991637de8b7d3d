"""What the doctor says of one thing."""

from dataclasses import dataclass
from typing import Literal

from control import check

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is what was looked at, `found` what is so, `mend` what to do about it.

    `mend` is a command or a setting; it is empty where nothing has to be done, or where
    `found` is a message of the agent's own, which says it.
    """

    level: Level
    subject: str
    found: str
    mend: str = ""


_FOR_ROOT = ("Permission denied", "run as root")


def of_check(found: check.Finding, subject: str, privileged: bool) -> Finding:
    """What `peergate agent --check` says of the same thing.

    That somebody without privilege may not see it is no defect of the router.
    """
    level: Level = found.level
    if not privileged and any(words in found.message for words in _FOR_ROOT):
        level = "note"
    return Finding(level, subject, found.message.removeprefix(f"{subject}: "))
