"""Single keys from the terminal, without waiting for Enter."""

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import Self


class Keys:
    """As long as it is entered, the terminal gives each key at once and shows none.

    Where stdin is no terminal there are no keys.
    """

    def __enter__(self) -> Self:
        self._terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
        if self._terminal is not None:
            self._before = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal is not None:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """The key that is pressed meanwhile, "" where none is. What a key sends besides is lost."""
        if self._terminal is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(self._terminal, 32).decode(errors="replace")
        return pressed[:1] or "q"  # the terminal has gone
