"""Registry, agent and the `peergate` command, run as in production: processes that talk HTTP."""

import ctypes
import json
import os
import subprocess
import sys
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from lab.netns import LabError, Namespace, end
from lab.topology import REGISTRY, UPLINK
from lab.transcript import Transcript
from lab.vpn import require
from lab.watch import wait_until

PEERGATE = Path(sys.executable).with_name("peergate")
PORT = 8470
LISTEN = f"{REGISTRY}:{PORT}"
URL = f"http://{LISTEN}"
ROUTER = "edge-1"
PATIENCE = 60.0  # seconds that a service may take to start, on a slow machine
MNT_DETACH = 2

AGENT_TOML = """\
registry_url = "{url}"
token_file = "{workdir}/agent.token"
router = "{router}"
interfaces = ["{uplink}"]
attach = "native"
state_dir = "{workdir}/state"
bpffs = "{workdir}/bpf"
report_every = 1
verify_every = 5
"""


class Peergate:
    """The command on one host, in its namespace, shown in the transcript."""

    def __init__(self, transcript: Transcript, namespace: Namespace, workdir: Path) -> None:
        self._transcript = transcript
        self._namespace = namespace
        self._home = str(workdir)
        self.settings: dict[str, str] = {}  # PEERGATE_... of this host's shell

    def run(self, *arguments: str, secret: bool = False) -> str:
        """Run to the end; answers its standard output. Raises LabError where it fails."""
        done = self._run(arguments)
        shown = "(a token, shown this once)" if secret else done.stdout
        self._show(arguments, f"{done.stderr}{shown}")
        self._check(done, arguments)
        return done.stdout

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - any JSON
        """What the command says with --json; not in the transcript."""
        done = self._run((*arguments, "--json"))
        self._check(done, arguments)
        return json.loads(done.stdout)

    def start(self, log: Path, *arguments: str) -> subprocess.Popen[str]:
        """Start a service."""
        with log.open("a") as out:
            process = self._namespace.popen(
                [PEERGATE, *arguments], env=self._environment(), stdout=out, stderr=out
            )
        self._show(arguments, f"(goes on as process {process.pid})")
        return process

    def _show(self, arguments: tuple[str, ...], output: str) -> None:
        """A command line in the transcript; the run's own directory is shortened."""
        where = self._namespace.name.rpartition("-")[2]
        shown = ["peergate", *(argument.replace(self._home, "DIR") for argument in arguments)]
        self._transcript.command(where, shown, output.replace(self._home, "DIR"))

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return self._namespace.run([PEERGATE, *arguments], env=self._environment())

    def _environment(self) -> dict[str, str]:
        """Ours, without settings of peergate's that the caller's shell may hold."""
        kept = {name: value for name, value in os.environ.items() if "PEERGATE_" not in name}
        return {**kept, **self.settings}

    @staticmethod
    def _check(done: subprocess.CompletedProcess[str], arguments: tuple[str, ...]) -> None:
        if done.returncode:
            line = " ".join(arguments)
            raise LabError(f"peergate {line}: exit {done.returncode}: {done.stderr.strip()}")


class RegistryService:
    """`peergate api serve` on an empty database."""

    def __init__(self, namespace: Namespace, peergate: Peergate, workdir: Path) -> None:
        self._namespace, self._peergate = namespace, peergate
        self._database = str(workdir / "registry.db")
        self.log = workdir / "registry.log"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Make the database, take the first admin's token, serve; wait until it answers."""
        made = self._peergate.run("api", "init", "--database", self._database, secret=True)
        self._peergate.settings |= {"PEERGATE_URL": URL, "PEERGATE_TOKEN": made.strip()}
        self._process = self._peergate.start(
            self.log, "api", "serve", "--database", self._database, "--listen", LISTEN
        )
        require(wait_until(self._answers, PATIENCE, 0.2), "the registry", self.log)

    def _answers(self) -> bool:
        with self._namespace.entered():
            asking = HTTPConnection(REGISTRY, PORT, timeout=PATIENCE)
            try:
                asking.request("GET", "/readyz")
                return asking.getresponse().status == HTTPStatus.OK
            except OSError:
                return False
            finally:
                asking.close()

    def stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


class Agent:
    """`peergate agent` on the router."""

    def __init__(self, namespace: Namespace, peergate: Peergate, workdir: Path) -> None:
        self._namespace, self._peergate = namespace, peergate
        self._token_file = workdir / "agent.token"
        self._bpffs = workdir / "bpf"
        self.config = workdir / "agent.toml"
        self.log = workdir / "agent.log"
        self._process: subprocess.Popen[str] | None = None

    def configure(self, token: str) -> str:
        """Write the token and the settings, and answer the latter."""
        self._token_file.touch(mode=0o600)
        self._token_file.write_text(token)
        text = AGENT_TOML.format(url=URL, router=ROUTER, uplink=UPLINK, workdir=self.config.parent)
        self.config.write_text(text)
        return text

    def start(self) -> None:
        self._process = self._peergate.start(self.log, "agent", "--config", str(self.config))
        require(wait_until(self.attached, PATIENCE, 0.1), "the agent", self.log)

    def attached(self) -> bool:
        """Whether a program sits on the uplink in the driver, read back from the kernel."""
        with self._namespace.netlink() as netlink:
            link = netlink.link("get", index=self._namespace.index(UPLINK))[0]
            xdp = link.get_attr("IFLA_XDP")
            return xdp is not None and xdp.get_attr("IFLA_XDP_DRV_PROG_ID") is not None

    def kill(self) -> int:
        """SIGKILL; answers the process id that was."""
        if self._process is None:
            raise LabError("the agent was not started")
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def close(self) -> None:
        """End it, and unmount the maps that it pinned."""
        if self._process is not None:
            end(self._process)
            self._process = None
        # Not there where the agent never came so far.
        ctypes.CDLL(None).umount2(os.fsencode(self._bpffs), MNT_DETACH)
