"""Processes that do not outlive whoever started them."""

import os
from collections.abc import Sequence

# setpriv asks for the signal after it was started: had we died before, none would come. The shell
# is begun after that, and sees another parent then.
_UNLESS_ORPHAN = '[ "$PPID" = "$0" ] && exec "$@"'


def ending_with_us(argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv`, and kills it when the thread that starts it ends.

    The process keeps the id that it was started with, and `argv` its words.
    """
    asking = ("setpriv", "--pdeathsig", "KILL", "--")
    return [*asking, "sh", "-c", _UNLESS_ORPHAN, str(os.getpid()), *argv]
