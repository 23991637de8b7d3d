"""The demo observes everything and exits 0; interrupted, it leaves nothing behind."""

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lab.transcript import StepError, Transcript
from lab.watch import wait_until

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "lab.demo"]


def children(parent: int) -> set[int]:
    """Running processes whose parent this is."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid: a name may hold blanks and brackets.
            state, ppid = status.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(ppid) == parent and state != "Z":
            found.add(int(status.parent.name))
    return found


def is_mounted_below(directory: str) -> bool:
    return f" {directory}/" in Path("/proc/mounts").read_text()


def test_a_wrong_observation_ends_the_step() -> None:
    page = io.StringIO()
    transcript = Transcript(Console(file=page))
    with pytest.raises(StepError, match="step 1: 3 of 3 packets"), transcript.step("Closed"):
        transcript.check("3 of 3 packets came in", right=False)
    assert "FAILED 3 of 3 packets came in" in page.getvalue()


def test_a_transcript_is_plain_where_it_is_no_terminal() -> None:
    page = io.StringIO()
    transcript = Transcript(Console(file=page))
    with transcript.step("Register"):
        transcript.command("registry", ["peergate", "peer", "add", "--purpose", "a b"], "done\n")
        transcript.check("x" * 200, right=True)
    assert "registry# peergate peer add --purpose 'a b'\n     done\n" in page.getvalue()
    assert f"   ok     {'x' * 200}\n" in page.getvalue()
    assert "\x1b" not in page.getvalue()


@pytest.mark.timeout(400)
def test_the_demo_observes_everything() -> None:
    done = subprocess.run(DEMO, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert "All observed in" in done.stdout
    directory = re.search(r"/tmp/peergate-demo-\w+", done.stdout)
    assert directory is not None
    assert not Path(directory[0]).exists()
    assert not is_mounted_below(directory[0])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupted_demo_removes_everything(ending: signal.Signals) -> None:
    demo = subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with demo:
        try:
            assert demo.stdout is not None
            shown = ""
            for line in demo.stdout:
                shown += line
                if "native" in line and line.strip().startswith("ok"):
                    break
            directory = re.search(r"/tmp/peergate-demo-\w+", shown)
            assert directory is not None, shown
            assert is_mounted_below(directory[0])
            started = children(demo.pid)
            assert len(started) >= 4  # VPNs, registry, agent
            demo.send_signal(ending)
            shown += demo.stdout.read()
        finally:
            demo.kill()
    assert demo.returncode == 130, shown
    assert not Path(directory[0]).exists()
    assert not is_mounted_below(directory[0])
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), 5)
