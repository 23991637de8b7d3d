"""peergate router strangers: what the agent wrote down on this router."""

import json
from pathlib import Path
from typing import Any

import pytest

from control.stranger_report import save
from tests.cli.conftest import Peergate

WHEN = "2026-11-28T16:00:00.250000Z"


def stranger(source: str, packets: int, samples: int, **more: object) -> dict[str, object]:
    return {
        "gateway": "hub",
        "source": source,
        "service": "udp/51820",
        "first_seen": WHEN,
        "last_seen": WHEN,
        "packets": packets,
        "samples": samples,
        "minutes": 3,
        "dropped": False,
        **more,
    }


SAID: dict[str, Any] = {
    "since": WHEN,
    "until": WHEN,
    "gateways": {"hub": {"packets": 40_012, "samples": 412}},
    "strangers": [
        stranger("203.0.113.9", 12, 12, dropped=True),
        stranger("2001:db8:66::66", 40_000, 400),
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'router = "edge-1"\ninterfaces = ["eth0"]\nstate_dir = "{tmp_path}"\n')
    return path


def test_the_table_has_the_error_of_what_is_estimated(
    config: Path, tmp_path: Path, offline_peergate: Peergate
) -> None:
    save(tmp_path, SAID)
    done = offline_peergate("router", "strangers", "--config", str(config))
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    time = "2026-11-28T16:00:00Z"
    assert ["hub", "203.0.113.9", "udp/51820", "3", "12", "0", time, "yes"] in rows
    assert ["hub", "2001:db8:66::66", "udp/51820", "3", "40,000", "1,990", time, "no"] in rows
    assert "2 of 2, from" in done.out


def test_a_limit_holds_for_both(config: Path, tmp_path: Path, offline_peergate: Peergate) -> None:
    save(tmp_path, SAID)
    limited = ("router", "strangers", "--config", str(config), "--limit", "1")
    assert "1 of 2, from" in offline_peergate(*limited).out
    said = json.loads(offline_peergate(*limited, "--json").out)
    assert said == {**SAID, "strangers": SAID["strangers"][:1]}


def test_without_an_agent_there_is_nobody(config: Path, offline_peergate: Peergate) -> None:
    done = offline_peergate("router", "strangers", "--config", str(config))
    assert (done.code, done.out) == (
        0,
        "no stranger knocked here since an agent began to look\n",
    )
    said = json.loads(
        offline_peergate("router", "strangers", "--config", str(config), "--json").out
    )
    assert said["strangers"] == []


def test_a_damaged_file_is_named(config: Path, tmp_path: Path, offline_peergate: Peergate) -> None:
    (tmp_path / "strangers.json").write_text("{")
    done = offline_peergate("router", "strangers", "--config", str(config))
    assert (done.code, done.out) == (1, "")
    assert "strangers.json: cannot be read: it is damaged" in done.err
