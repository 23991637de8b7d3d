"""peergate replay and explain as a person has them: what is printed, and what it exits with."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from tests.cli.conftest import Peergate, Running
from tests.cli.hub import Hub
from tests.cli.test_apply import POLICY

PEERGATE = Path(sys.executable).with_name("peergate")
STRANGER = {
    "packet": 1,
    "verdict": "unregistered",
    "action": "drop",
    "would_drop": False,
    "gateway": "hub",
    "peer": None,
}
BRANCH = {**STRANGER, "packet": 2, "verdict": "registered", "action": "pass", "peer": "branch-7"}
OTHER = {**STRANGER, "packet": 3, "verdict": "other", "action": "pass", "gateway": None}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def tunnel(source: str) -> Packet:
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return frame / IP(src=source, dst="198.51.100.1") / UDP(sport=1024, dport=51820)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    file = tmp_path / "uplink.pcap"
    wrpcap(str(file), [tunnel("192.0.2.1"), tunnel("203.0.113.7"), Ether() / ARP()])
    return file


def lines(out: str) -> list[object]:
    return [json.loads(line) for line in out.splitlines()]


def test_replay_prints_a_json_object_a_line(
    offline_peergate: Peergate, capture: Path, policy: Path
) -> None:
    replayed = offline_peergate("replay", capture, "--policy", policy, "--json")
    assert (replayed.code, replayed.err) == (0, "")
    assert lines(replayed.out) == [STRANGER, BRANCH, OTHER]
    assert replayed.out.splitlines()[0] == json.dumps(STRANGER)


def test_replay_judges_as_of_a_moment(
    offline_peergate: Peergate, capture: Path, policy: Path
) -> None:
    now = ("--now", "2099-02-01T01:00:00+01:00")
    replayed = offline_peergate("replay", capture, "--policy", policy, "--json", *now)
    assert lines(replayed.out)[1] == {**BRANCH, "verdict": "expired", "action": "drop"}
    for wrong in ("yesterday", "2099-02-01T01:00:00", "0001-01-01T00:00:00+01:00"):
        refused = offline_peergate("replay", capture, "--policy", policy, "--now", wrong)
        assert refused.code == 2
        assert f"--now {wrong}: must be a time with its zone" in refused.err


def test_replay_sums_up(offline_peergate: Peergate, capture: Path, policy: Path) -> None:
    policy.write_text(POLICY.replace("mode: enforce", "mode: monitor"))
    replayed = offline_peergate("replay", capture, "--policy", policy)
    assert replayed.code == 0
    rows = [line.split() for line in replayed.out.splitlines()]
    assert ["hub", "unregistered", "would", "drop", "1"] in rows
    assert ["hub", "registered", "pass", "1"] in rows
    assert ["-", "other", "pass", "1"] in rows
    assert "first of what is dropped, or would be" in replayed.out
    assert ["1", "hub", "unregistered", "would", "drop", "-"] in rows
    assert replayed.out.endswith("3 packets\n")


def test_frames_cut_by_the_snap_length_are_marked(
    offline_peergate: Peergate, capture: Path, policy: Path, tmp_path: Path
) -> None:
    content = bytearray(capture.read_bytes())
    content[36:40] = (1500).to_bytes(4, sys.byteorder)  # the first record's length on the wire
    capture.write_bytes(content)
    replayed = offline_peergate("replay", capture, "--policy", policy, "--json")
    assert lines(replayed.out) == [{**STRANGER, "truncated": True}, BRANCH, OTHER]
    summed = offline_peergate("replay", capture, "--policy", policy)
    assert summed.out.endswith("3 packets, 1 of them cut by the snap length\n")


def test_replay_of_a_damaged_file_says_where_after_what_came_before(
    offline_peergate: Peergate, capture: Path, policy: Path
) -> None:
    capture.write_bytes(capture.read_bytes()[:-1])
    replayed = offline_peergate("replay", capture, "--policy", policy, "--json")
    assert replayed.code == 1
    assert lines(replayed.out) == [STRANGER, BRANCH]
    assert replayed.err.startswith(f"peergate: {capture}: packet 3: cut off: ")
    assert replayed.err.count("\n") == 1
    summed = offline_peergate("replay", capture, "--policy", policy)
    assert summed.code == 1
    assert summed.out.endswith("2 packets\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "the file is empty"),
        (b"GIF89a" + bytes(40), "neither pcap nor pcapng"),
        (
            bytes.fromhex("d4c3b2a1020004000000000000000000ffff000071000000"),
            "link type 113 (Linux cooked capture, as from -i any) is not Ethernet",
        ),
    ],
)
def test_replay_of_what_is_no_capture(
    offline_peergate: Peergate, tmp_path: Path, policy: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "x.pcap"
    if content is not None:
        file.write_bytes(content)
    replayed = offline_peergate("replay", file, "--policy", policy)
    assert (replayed.code, replayed.out) == (1, "")
    assert replayed.err.startswith(f"peergate: {file}: {said}")
    assert replayed.err.count("\n") == 1


def test_replay_reads_a_capture_that_is_still_being_made(capture: Path, policy: Path) -> None:
    """From a pipe: every frame is judged when it comes, not when the capture ends."""
    content = capture.read_bytes()
    first = 24 + 16 + len(bytes(tunnel("192.0.2.1")))
    with subprocess.Popen(
        [PEERGATE, "replay", "-", "--policy", policy, "--json"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(content[:first])
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == STRANGER
        process.stdin.write(content[first:])
        process.stdin.close()
        assert lines(process.stdout.read().decode()) == [BRANCH, OTHER]
    assert process.returncode == 0


def test_a_reader_who_has_seen_enough_is_no_trouble(
    capture: Path, policy: Path, tmp_path: Path
) -> None:
    wrpcap(str(capture), [tunnel("192.0.2.1")] * 5000)
    with subprocess.Popen(
        [PEERGATE, "replay", capture, "--policy", policy, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()) == STRANGER
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("command", ["replay", "explain"])
def test_without_privilege_one_line_says_so(capture: Path, policy: Path, command: str) -> None:
    packet = ("--src", "192.0.2.1", "--dst", "198.51.100.1", "--proto", "esp")
    asked = (str(capture),) if command == "replay" else packet
    refused = subprocess.run(
        [
            *("setpriv", "--bounding-set=-all", "--inh-caps=-all"),
            *(PEERGATE, command, *asked, "--policy", policy),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "run as root" in refused.stderr
    assert refused.stderr.count("\n") == 1


# explain

ASKED = ("explain", "--dst", "198.51.100.1", "--proto", "udp", "--dport", "51820")


def test_explain_tells_the_reason(offline_peergate: Peergate, policy: Path) -> None:
    told = offline_peergate(*ASKED, "--src", "203.0.113.65", "--policy", policy)
    assert (told.code, told.err) == (0, "")
    fields = dict(line.split(maxsplit=1) for line in told.out.splitlines() if line[0] != " ")
    assert fields["verdict"] == "registered"
    assert fields["action"] == "pass"
    assert fields["peer"] == "branch-7 (1) at hub"
    assert fields["owner"] == "Branch networks, netops@example.net"
    assert fields["why"] == (
        "203.0.113.64/27 of peer branch-7 (1) at hub is valid until 2099-01-31T00:00:00Z"
    )
    told = offline_peergate(*ASKED, "--src", "203.0.113.9", "--policy", policy)
    assert "does not cover 203.0.113.9" in told.out
    assert "hub enforces: dropped" in told.out


def test_explain_as_json_and_as_of_a_moment(offline_peergate: Peergate, policy: Path) -> None:
    asked = (*ASKED, "--src", "203.0.113.65", "--policy", policy, "--json")
    now = offline_peergate(*asked).json
    assert (now["verdict"], now["peer"]["name"], now["revision"]) == (
        "registered",
        "branch-7",
        None,
    )
    later = offline_peergate(*asked, "--now", "2099-01-31T00:00:00Z").json
    assert (later["verdict"], later["action"]) == ("expired", "drop")
    assert later["now"] == "2099-01-31T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--src 192.0.2.1 --dst 2001:db8::1 --proto udp --dport 1", "one is IPv4, the other IPv6"),
        ("--src 192.0.2.1/32 --dst 192.0.2.2 --proto udp --dport 1", "not an IPv4 or IPv6 address"),
        ("--src 192.0.2.1 --dst 192.0.2.2 --proto udp", "give the port with --dport"),
        ("--src 192.0.2.1 --dst 192.0.2.2 --proto esp --dport 1", "has no ports"),
        ("--src 192.0.2.1 --dst 192.0.2.2 --proto 256", "--proto 256: one of icmp, ipip"),
        ("--src 192.0.2.1 --dst 192.0.2.2 --proto -1", "--proto -1: one of icmp, ipip"),
        (
            "--src 192.0.2.1 --dst 192.0.2.2 --proto tcp --dport 65536",
            "less than or equal to 65535",
        ),
    ],
)
def test_explain_refuses_what_is_no_packet(
    offline_peergate: Peergate, policy: Path, arguments: str, said: str
) -> None:
    refused = offline_peergate("explain", *arguments.split(), "--policy", policy)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert refused.err.count("\n") == 1


def test_explain_asks_a_router_through_the_registry(
    peergate: Peergate, registry: Running, policy: Path
) -> None:
    hub = Hub.made(peergate, registry)
    asked = (*ASKED, "--src", "203.0.113.65", "--router", "edge-1")
    away = peergate(*asked)
    assert (away.code, away.out) == (1, "")
    assert "router 'edge-1' has not reported yet: start its agent" in away.err
    hub.report()
    # What the router says is shown as what this machine's own program says.
    local = peergate(*ASKED, "--src", "203.0.113.65", "--policy", policy, "--json").json
    headers = {"Authorization": f"Bearer {hub.token}"}
    questions = f"{registry.url}/v1/routers/edge-1/questions"

    def answer(http: httpx.Client, account: object) -> None:
        def taken() -> list[dict[str, int]]:
            return list(http.get(questions).json()["items"])

        (question,) = next(items for _ in range(2000) if (items := taken()))
        told = http.put(f"{questions}/{question['id']}", json={"account": account})
        assert told.status_code == 204, told.text

    with httpx.Client(headers=headers) as http, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer, http, local)
        assert peergate(*asked, "--json").json == local
        answered.result(20)
        answered = pool.submit(answer, http, {**local, "why": ["<b>{[bold]}</b>"]})
        told = peergate(*asked, "--now", "2099-01-31T00:00:00Z").out
        answered.result(20)
    assert "branch-7 (1) at hub" in told
    assert "<b>{[bold]}</b>" in told
    both = peergate(*asked, "--policy", policy)
    assert (both.code, "--router and --policy: one of them" in both.err) == (2, True)


def test_replay_says_what_a_proposal_would_change(
    peergate: Peergate, capture: Path, policy: Path, tmp_path: Path
) -> None:
    for words in (("replay", capture), ("replay", capture, "--router", "edge-1")):
        assert peergate(*words).code == 2
    assert peergate("apply", "-f", policy, "--yes").code == 0
    replayed = peergate("replay", capture, "--current", "--json")
    assert lines(replayed.out) == [STRANGER, BRANCH, OTHER]
    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(POLICY.replace("203.0.113.7,", "192.0.2.1,"))
    compared = peergate("replay", capture, "--current", "--policy", proposed, "--json").json
    assert (compared["packets"], compared["changed"], compared["untold"]) == (3, 2, 0)
    assert compared["before"]["revision"] == 1
    assert compared["after"]["policy"] == str(proposed)
    fates = [
        (each["source"], each["service"], each["before"]["action"], each["after"]["action"])
        for each in compared["flows"]
    ]
    assert fates == [
        ("203.0.113.7", "udp/51820", "pass", "drop"),
        ("192.0.2.1", "udp/51820", "drop", "pass"),
    ]
    shown = peergate("replay", capture, "--current", "--policy", proposed)
    assert "2 of 3 packets change\n" in shown.out
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["registered,", "pass", "unregistered,", "drop", "1", "1"] in rows
    same = peergate("replay", capture, "--current", "--policy", policy)
    assert (same.code, same.out) == (0, "0 of 3 packets change\n")
