"""Processes that do not outlive whoever started them, however early that one ends."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

MAKER = """
import subprocess, time
from lab.lifetime import ending_with_us
print(subprocess.Popen(ending_with_us(["sleep", "100"])).pid, flush=True)
time.sleep(100)
"""

# As on a busy machine: only after its maker's death does it come to ask for a signal.
TOO_LATE = """#!/bin/sh
while [ -d /proc/$PPID ]; do sleep 0.02; done
exec /usr/bin/setpriv "$@"
"""


@pytest.mark.parametrize("late", [False, True], ids=["in-time", "too-late"])
def test_a_process_ends_with_its_maker(tmp_path: Path, late: bool) -> None:
    if late:
        (tmp_path / "setpriv").write_text(TOO_LATE)
        (tmp_path / "setpriv").chmod(0o755)
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert maker.stdout is not None
    with maker.stdout:
        process = os.pidfd_open(int(maker.stdout.readline()))
    try:
        assert not select.select([process], [], [], 0.5)[0], "it ended before its maker"
        maker.kill()
        maker.wait()
        assert select.select([process], [], [], 30)[0], "it outlived its maker"
    finally:
        maker.kill()
        maker.wait()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)
