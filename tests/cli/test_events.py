"""Events through the command line, against a real registry."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.cli.conftest import Peergate, serving

PEERGATE = Path(sys.executable).with_name("peergate")
GATEWAY = {"mode": "monitor", "services": ["wireguard"]}


def test_what_happened(peergate: Peergate) -> None:
    peergate("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")
    peergate("token", "add", "t", "--role", "viewer")
    found = peergate("events")
    assert (found.code, found.err) == (0, "")
    lines = [line.split("  ") for line in found.out.splitlines()]
    assert lines[0][3].startswith("by ")
    lines[0][3] = "by somebody here"
    assert [line[1:4] for line in lines] == [
        ["token.made", "1", "by somebody here"],
        ["gateway.added", "hub", "by admin"],
        ["token.made", "2", "by admin"],
    ]
    assert lines[1][4:7] == ["name=hub", "addresses=198.51.100.1", "services=wireguard"]
    only = peergate("events", "--json", "--type", "gateway.added", "--type", "gateway.removed")
    (event,) = [json.loads(line) for line in only.out.splitlines()]
    assert (event["id"], event["type"], event["subject"]) == (2, "gateway.added", "hub")
    assert peergate("events", "--after", "3").out == ""
    assert peergate("events", "--since", "2100-01-01T00:00:00Z").out == ""
    assert len(peergate("events", "--since", "2020-01-01T00:00:00Z").out.splitlines()) == 3


def test_what_cannot_be_had(peergate: Peergate) -> None:
    ahead = peergate("events", "--follow", "--after", "7")
    assert (ahead.code, ahead.out) == (1, "")
    assert "event 7 is ahead of this registry, whose newest is 1" in ahead.err
    wrong = peergate("events", "--type", "peer.eaten")
    assert wrong.code == 1
    assert "types[0]: peer.eaten" in wrong.err
    assert peergate("events", "--since", "yesterday").code == 2


def test_it_follows_through_a_restart_of_the_registry(
    initialised: tuple[Path, str], tmp_path: Path
) -> None:
    made, token = initialised
    file = tmp_path / "registry.db"
    for kind in (".db", ".key"):
        shutil.copy(made.with_suffix(kind), file.with_suffix(kind))
    headers = {"Authorization": f"Bearer {token}"}

    def add(url: str, number: int) -> None:
        body = GATEWAY | {"name": f"g-{number}", "addresses": [f"198.51.100.{number}"]}
        assert httpx.post(f"{url}/v1/gateways", json=body, headers=headers).status_code == 201

    with serving(file, 0) as url:
        port = int(url.rpartition(":")[2])
        follower = subprocess.Popen(
            # What runs in a script's background is born deaf to SIGINT.
            ["env", "--default-signal=INT", PEERGATE, "events", "--follow", "--json", "--after=1"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PEERGATE_URL": url, "PEERGATE_TOKEN": token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert follower.stdout is not None
            add(url, 1)
            seen = [json.loads(follower.stdout.readline())]
        except BaseException:
            follower.kill()
            raise
    try:
        with serving(file, port) as url:
            add(url, 2)
            add(url, 3)
            seen += [json.loads(follower.stdout.readline()) for _ in range(2)]
            follower.send_signal(signal.SIGINT)
            _, complaints = follower.communicate(timeout=20)
    finally:
        follower.kill()
        follower.communicate()
    assert [(each["id"], each["subject"]) for each in seen] == [(2, "g-1"), (3, "g-2"), (4, "g-3")]
    assert follower.returncode == 130
    assert "Traceback" not in complaints
