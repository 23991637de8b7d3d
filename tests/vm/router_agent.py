"""The agent in the virtual router's machine, by its log and its exit status."""

import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from lab.watch import wait_until

SECONDS = 150.0  # how long anything may take, on a busy machine without KVM
SHARED = Path("/run/vm")  # the shared directory as the machine sees it


class Do(Protocol):
    """Gives an order to the machine."""

    def __call__(self, what: str, **arguments: object) -> dict[str, Any]: ...


class Agent:
    """One run of the agent in the machine."""

    def __init__(self, do: Do, shared: Path, number: int) -> None:
        """Starts it, on the settings and the policy in the shared directory."""
        self._do = do
        self._log = shared / f"agent-{number}.log"
        # The command `peergate`, of this checkout.
        peergate = shlex.join([sys.executable, "-c", "from cli.main import main; main()"])
        command = f"{peergate} agent --config {SHARED}/agent.toml --policy {SHARED}/policy.yaml"
        self._pid = do("start", command=command, log=str(SHARED / self._log.name))["pid"]

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, pattern: str, times: int = 1) -> None:
        """Until so many lines of its log match. Fails with the log when they do not in time."""
        deadline = time.monotonic() + SECONDS

        def said() -> bool:
            return len(re.findall(pattern, self.log)) >= times

        # To ask after its status costs the machine time.
        while not wait_until(said, 5):
            assert time.monotonic() < deadline, f"no {pattern!r} in time:\n{self.log}"
            assert self.status() is None, f"ended without {pattern!r}:\n{self.log}"

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        found: int | None = self._do("status", pid=self._pid)["status"]
        return found

    def exit_status(self) -> int:
        """Of an agent that ends by itself."""
        assert wait_until(lambda: self.status() is not None, SECONDS, 0.5), self.log
        status = self.status()
        assert status is not None
        return status

    def end(self) -> int:
        answer = self._do("end", pid=self._pid, signal=signal.SIGTERM, seconds=20)
        return int(answer["status"])
