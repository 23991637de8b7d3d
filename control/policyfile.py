"""Follows a policy file: every change of it on disk becomes an allowlist, or is refused."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from control.allowlist import from_policy
from control.model import Allowlist
from control.state import NO_REGISTRY, policy_file_revision
from policy.errors import PolicyError, Problem
from policy.file import parse_policy

log = logging.getLogger(__name__)


MOST_LINES = 20

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The file, and where its revisions are counted."""

    path: Path
    state_dir: Path

    def stamp(self) -> Stamp | None:
        """Changes whenever the file does; None while there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def load(self, now: datetime) -> Allowlist:
        """The allowlist in the file. Raises PolicyError with every problem.

        The same content has the same revision; another content gets the next one.
        """
        try:
            content = self.path.read_bytes()
            text = content.decode()
        except OSError as error:
            problem = Problem(str(self.path), "", error.strerror or str(error))
            raise PolicyError((problem,)) from None
        except UnicodeDecodeError:
            raise PolicyError((Problem(str(self.path), "", "not a text file in UTF-8"),)) from None
        policy = parse_policy(text)
        digest = hashlib.sha256(content).hexdigest()
        revision = policy_file_revision(self.state_dir, digest)
        return from_policy(policy, registry=NO_REGISTRY, revision=revision, time=now)

    def log_refusal(self, error: PolicyError) -> None:
        """A line for each problem, as far as somebody may read them."""
        for problem in error.problems[:MOST_LINES]:
            log.error("%s is refused: %s", self.path, problem)
        if len(error.problems) > MOST_LINES:
            log.error("%s: and %d problems more", self.path, len(error.problems) - MOST_LINES)
