"""Trouble that lasts is one line in the log when it comes or changes, and one when it is over."""

import logging

log = logging.getLogger(__name__)


class Trouble:
    def __init__(self, what: str) -> None:
        """`what` goes on once it is over."""
        self._what = what
        self._message: str | None = None

    def now(self, message: str | None) -> None:
        """None where there is none."""
        if message == self._message:
            return
        if message is None:
            log.info("%s: in order again", self._what, extra={"event": "trouble.over"})
        else:
            log.error("%s", message, extra={"event": "trouble", "what": self._what})
        self._message = message
