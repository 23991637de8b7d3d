"""The agent as a user of its own with three capabilities: enough for all it does, none to spare."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from control import links, pins
from control.model import Tables
from control.plan import difference
from lab.topology import Topology
from lab.watch import wait_until
from tests.control.edge import (
    BRANCH_PEER,
    ROOT,
    SECONDS,
    Edge,
    many_peers,
)
from tests.control.test_agent_attach import foreign_program, put

USER = 64123  # no such user has to exist
CAPABILITIES = ("bpf", "net_admin", "perfmon")

# The user may not look into the checkout, or the environment, wherever they lie.
ENTER = 'mount --bind "$1" "$3" && mount --bind "$2" "$4" && cd "$3" && shift 4 && exec "$@"'

COMMAND = """
import sys
from cli.main import main
sys.argv[0] = "peergate"
sys.exit(main())
"""

UNASKED = """
from control import loader
from control.dataplane import DataPlane
from control.errors import DataPlaneError
from control.sizes import Sizes
loader.check_privilege = lambda: None
try:
    DataPlane.offline(Sizes.room_for(8, 8, 4))
except DataPlaneError as error:
    print(error.message.split(";")[0])
"""

REFUSALS = {
    "bpf": "could not open bpf map: .*: Operation not permitted",
    "net_admin": "could not be loaded: Operation not permitted",
    "perfmon": "could not be loaded: R[0-9] .*pointer.* prohibited",
}


def as_user(home: Path, *capabilities: str) -> tuple[str, ...]:
    """A command line that runs another one as the user, with these capabilities at most."""
    mounts = (str(ROOT), sys.prefix, str(home / "checkout"), str(home / "environment"))
    only = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    ids = (f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs")
    bounds = [f"--{which}={only}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    return (
        *("unshare", "--mount", "--", "sh", "-c", ENTER, "sh", *mounts),
        *("setpriv", "--pdeathsig=KILL", *ids, *bounds, "--"),
    )


@pytest.fixture
def edge(request: pytest.FixtureRequest) -> Iterator[Edge]:
    """As the unit has it: the bpf filesystem is mounted before, and belongs to the user."""
    home = Path(tempfile.mkdtemp(prefix="peergate-"))
    home.chmod(0o755)
    for name in ("checkout", "environment"):
        (home / name).mkdir()
    files = home / "files"
    with Topology(f"{request.node.name[:20]}-{os.getpid()}") as net:
        files.mkdir()
        made = Edge(files, net)
        made.prefix = as_user(home, *CAPABILITIES)
        made.python = str(home / "environment/bin/python")
        try:
            pins.ensure_bpffs(made.bpffs)
            for path in (files, made.bpffs):
                os.chown(path, USER, USER)
            yield made
        finally:
            net.router.close()
            made.close()
            shutil.rmtree(home)


def peergate(edge: Edge, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run by the user too."""
    settings = ("--config", str(edge.directory / "agent.toml"))
    argv = [*edge.prefix, edge.python, "-c", COMMAND, *arguments, *settings]
    return edge.net.router.run(argv)


def program_pins(edge: Edge) -> set[str]:
    there = pins.current(edge.bpffs)
    return set() if there is None else {path.name for path in there[0].glob(f"{pins.PROGRAM}*")}


def owners(bpffs: Path) -> set[tuple[int, int]]:
    """Who owns sets and pins, and their permissions. (The kernel has files of its own there.)"""
    found = [each.stat() for path in pins.sets(bpffs) for each in (path, *path.iterdir())]
    return {(each.st_uid, each.st_mode & 0o777) for each in found}


def test_the_whole_life_of_agents_with_three_capabilities(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()  # makes the maps, fills them, attaches
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    assert f"Uid:\t{USER}\t{USER}" in status
    assert f"CapEff:\t{1 << 39 | 1 << 38 | 1 << 12:016x}" in status
    assert edge.lets_in(branch=True)
    assert owners(edge.bpffs) == {(USER, 0o700), (USER, 0o600)}

    edge.write_policy([])  # a change
    assert edge.lets_in(branch=False)
    edge.write_policy()
    assert edge.lets_in(branch=True)
    with edge.maps() as maps:  # drift in the maps, and on the link
        maps.apply(difference(maps.tables(), Tables()))
    agent.wait_for("maps differed from the allowlist in 5 rows: repaired")
    first = edge.program()
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    assert wait_until(lambda: edge.program() == first, SECONDS)

    agent.kill()  # adopted, and replaced in one step
    agent = edge.start()
    assert edge.program() not in (None, first)
    assert wait_until(lambda: program_pins(edge) == {f"program-{edge.program()}"}, SECONDS)
    assert agent.end() == 0
    edge.write_policy([BRANCH_PEER, *many_peers(100)])  # larger maps, the other attach
    edge.configure(attach="generic")
    agent = edge.start()
    assert wait_until(lambda: len(pins.sets(edge.bpffs)) == 1, SECONDS)
    assert [mode for mode, _ in edge.attachment().programs] == ["generic"]
    assert edge.lets_in(branch=True)

    said = peergate(edge, "status")
    assert said.returncode == 0, said.stderr
    assert "registered     pass" in said.stdout
    asked = ("--src", "203.0.113.7", "--dst", "198.51.100.1", "--proto", "udp", "--dport", "51820")
    said = peergate(edge, "explain", *asked)
    assert "registered" in said.stdout, said.stderr

    assert agent.end() == 0
    said = peergate(edge, "detach")
    assert "uplink: detached" in said.stdout, said.stderr
    assert edge.attachment().programs == ()
    assert pins.sets(edge.bpffs) == []


@pytest.mark.parametrize("dropped", CAPABILITIES)
def test_each_capability_is_needed_and_named(edge: Edge, dropped: str) -> None:
    left = (name for name in CAPABILITIES if name != dropped)
    edge.prefix = as_user(edge.directory.parent, *left)
    edge.write_policy()
    agent = edge.start(waits=False)
    assert agent.exit_status() == 1
    assert agent.said(f"run as root, or with CAP_BPF, .*: this process lacks CAP_{dropped.upper()}")
    assert "Traceback" not in agent.log


@pytest.mark.parametrize("dropped", CAPABILITIES)
def test_what_the_kernel_itself_refuses_without(edge: Edge, dropped: str) -> None:
    """So none of them is asked for in vain; and what the messages are, were they not asked for."""
    left = (name for name in CAPABILITIES if name != dropped)
    prefix = as_user(edge.directory.parent, *left)
    done = edge.net.router.run([*prefix, edge.python, "-c", UNASKED])
    assert re.search(REFUSALS[dropped], done.stdout), done.stdout + done.stderr


def test_a_foreign_program_is_refused_with_its_id(edge: Edge) -> None:
    edge.write_policy()
    with foreign_program(edge) as fd:
        put(edge, fd, links.MODE_FLAG["native"])
        foreign = links.program_id(fd)
        agent = edge.start(waits=False)
        agent.wait_for(f"id {foreign}, name unknown without CAP_SYS_ADMIN .`bpftool prog show id")
        assert edge.program() == foreign
        said = peergate(edge, "detach")
        assert edge.program() == foreign, said.stderr


def test_maps_that_belong_to_root_are_one_line(edge: Edge) -> None:
    edge.write_policy()
    edge.start().end()
    for path in (edge.bpffs, *edge.bpffs.rglob("*")):
        os.chown(path, 0, 0)
    agent = edge.start(waits=False)
    assert agent.exit_status() == 1
    assert agent.said("Permission denied; run as root")
    assert "Traceback" not in agent.log
