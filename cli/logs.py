"""Where the services' log lines go."""

import logging
import os


def log_to_stderr() -> None:
    """One line an event; under systemd the journal has the time already."""
    form = "%(levelname)s %(message)s"
    if "JOURNAL_STREAM" not in os.environ:
        form = f"%(asctime)s {form}"
    logging.basicConfig(level=logging.INFO, format=form)
    # One line a request says nothing that the events do not.
    logging.getLogger("httpx").setLevel(logging.WARNING)
