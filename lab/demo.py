"""`make demo`: the gate on real VPN traffic, each step shown and observed.

Exits 0 only if everything was observed that the steps name. Whatever it made, it
removes, also when it fails or is interrupted.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from lab.demo_steps import STEPS
from lab.netns import LabError
from lab.scene import Scene
from lab.transcript import StepError, Transcript
from lab.vpn import log_tail

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedDemo(Exception):  # noqa: N818 - not an error
    """A signal asked the demo to end."""


def main() -> int:
    transcript = Transcript(Console())
    if os.geteuid() != 0:
        transcript.say("The demo makes network namespaces and loads BPF programs: run it as root.")
        return 1
    _on_signals(_interrupt)
    began = time.monotonic()
    code, last = 0, ""
    with tempfile.TemporaryDirectory(prefix="peergate-demo-") as directory:
        try:
            _play(transcript, Path(directory))
        except (LabError, StepError) as error:
            transcript.say(f"FAILED: {error}", "bold red")
            _show_logs(transcript, Path(directory))
            code = 1
        except InterruptedDemo as error:
            code, last = 130, f"Ended by {error}. "
    if code == 0:
        transcript.summary()
        last = f"All observed in {time.monotonic() - began:.0f} s. "
    transcript.say(f"{last}What the demo made is removed.")
    return code


def _play(transcript: Transcript, workdir: Path) -> None:
    transcript.say("Branch and stranger on the outside, an edge router with the XDP program on its")
    transcript.say(
        "uplink, a gateway and a bystander behind it: network namespaces of this kernel."
    )
    with Scene(transcript, workdir, "demo") as scene:
        kind = "the kernel's" if scene.wireguard.link.in_kernel else "wireguard-go"
        transcript.say(f"The gateway runs WireGuard ({kind}, over IPv4) and OpenVPN (over IPv6).")
        try:
            for title, step in STEPS:
                with transcript.step(title):
                    step(scene)
        finally:
            # The rest is cleaning up, which a second Ctrl-C must not cut short.
            _on_signals(signal.SIG_IGN)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _on_signals(signal.SIG_IGN)
    raise InterruptedDemo(signal.Signals(number).name)


def _on_signals(handler: object) -> None:
    for number in ENDING:
        signal.signal(number, handler)  # type: ignore[arg-type]


def _show_logs(transcript: Transcript, workdir: Path) -> None:
    for log in (workdir / "agent.log", workdir / "registry.log"):
        if not log.exists():
            continue
        transcript.say(f"{log.name} ends in:")
        for line in log_tail(log, 15).splitlines():
            transcript.say(f"  {line}", "dim")


if __name__ == "__main__":
    sys.exit(main())
