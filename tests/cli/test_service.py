"""The registry as it is run: init and serve as processes of their own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cli.systemd import Moment, Systemd
from tests.cli.conftest import Peergate
from tests.postgresql import Server

PEERGATE = Path(sys.executable).with_name("peergate")


@contextmanager
def serving(directory: Path, *database: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The service's address, read off its log, and its process."""
    process = subprocess.Popen(
        [PEERGATE, *("api", "serve", *database, "--listen", "127.0.0.1:0")],
        cwd=directory,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:[0-9]+", line)
            assert found, line
            yield found[0], process
        finally:
            process.kill()


def test_from_nothing_to_a_running_registry(offline_peergate: Peergate, tmp_path: Path) -> None:
    made = offline_peergate("api", "init", "--database", tmp_path / "r.db")
    assert made.code == 0
    assert made.out.count("\n") == 1
    assert "its first admin token, shown this once:" in made.err
    assert made.out.strip() not in made.err
    token = tmp_path / "token"
    token.write_text(made.out)

    with serving(tmp_path, "--database", "r.db") as (url, process):
        access = ("--url", url, "--token-file", token)
        assert offline_peergate("gateway", "list", *access, "--json").json == []
        spare = offline_peergate("api", "token", "--database", tmp_path / "r.db", "--json").json
        token.write_text(spare["token"])
        assert offline_peergate("token", "list", *access).code == 0

        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_a_registry_on_postgresql_is_one_setting(
    offline_peergate: Peergate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgresql_server: Server,
) -> None:
    with postgresql_server.database() as database:
        monkeypatch.setenv("PEERGATE_DATABASE_URL", database)
        made = offline_peergate("api", "init")
        assert made.code == 0, made.err
        password = database.split(":")[2].partition("@")[0]
        assert made.err.startswith(f"{database.replace(f':{password}', '')}: registry ")
        token = tmp_path / "token"
        token.write_text(made.out)
        again = offline_peergate("api", "init")
        assert (again.code, password in again.err) == (1, False)
        with serving(tmp_path) as (one, first), serving(tmp_path) as (other, second):
            words = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "gre")
            assert offline_peergate(*words, "--url", one, "--token-file", token).code == 0
            shown = offline_peergate(
                "gateway", "list", "--json", "--url", other, "--token-file", token
            )
            assert [each["name"] for each in shown.json] == ["hub"]
            for process in (first, second):
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == 0


def test_systemd_hears_from_the_service(offline_peergate: Peergate, tmp_path: Path) -> None:
    assert offline_peergate("api", "init", "--database", "r.db").code == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        supervised = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
        with subprocess.Popen(
            [PEERGATE, *("api", "serve", "--database", "r.db", "--listen", "127.0.0.1:0")],
            cwd=tmp_path,
            env={**os.environ, **supervised},
        ) as process:
            try:
                assert told.recv(100) == b"READY=1"
                assert [told.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
                process.send_signal(signal.SIGTERM)
                while (last := told.recv(100)) != b"STOPPING=1":
                    assert last == b"WATCHDOG=1"
                assert process.wait(15) == 0
            finally:
                process.kill()


@pytest.mark.parametrize(
    ("environ", "address", "every"),
    [
        ({}, None, None),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, "/run/systemd/notify", None),
        ({"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "30000000"}, "\0notify", 15.0),
        ({"NOTIFY_SOCKET": "@notify", "WATCHDOG_USEC": "soon"}, "\0notify", None),
        ({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "2", "WATCHDOG_PID": "1"}, None, None),
    ],
)
def test_what_systemd_asks_for(
    environ: dict[str, str], address: str | None, every: float | None
) -> None:
    assert Systemd.of(environ) == Systemd(address, every)


@pytest.mark.timeout(20)
def test_a_supervisor_who_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        systemd = Systemd(str(tmp_path / "notify"), every=0.0)
        for _ in range(1000):
            systemd.tell("alive")
        systemd.tell("stopping")
        assert told.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("moment", ["ready", "alive", "stopping"])
def test_nobody_listens(tmp_path: Path, moment: Moment) -> None:
    Systemd(str(tmp_path / "nobody"), every=0.0).tell(moment)
    Systemd(None).tell(moment)


def test_init_twice_makes_no_second_admin(offline_peergate: Peergate, tmp_path: Path) -> None:
    made = offline_peergate("api", "init", "--database", "r.db", "--json")
    assert set(made.json) == {"database", "registry", "key", "token"}
    again = offline_peergate("api", "init", "--database", "r.db")
    assert (again.code, again.out) == (1, "")
    assert again.err.count("\n") == 1
    assert "there is a registry already" in again.err


def test_the_key_stands_beside_the_database_and_is_rotated(
    offline_peergate: Peergate, tmp_path: Path
) -> None:
    made = offline_peergate("api", "init", "--database", "r.db", "--json").json
    file = tmp_path / "r.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert made["key"] not in file.read_text()
    shown = offline_peergate("api", "key", "show", "--database", "r.db")
    assert shown.out == made["key"] + "\n"
    rotated = offline_peergate("api", "key", "rotate", "--database", "r.db", "--json").json
    assert rotated["before"] == made["key"]
    assert offline_peergate("api", "key", "show", "--key-file", "r.key").out != shown.out
    assert file.stat().st_mode & 0o777 == 0o600
    refused = offline_peergate("api", "key", "make", "--database", "r.db")
    assert (refused.code, refused.out) == (1, "")
    file.unlink()
    assert (
        "`peergate api key make`"
        in offline_peergate("api", "serve", "--database", "r.db", "--listen", "127.0.0.1:0").err
    )
    assert offline_peergate("api", "key", "make", "--database", "r.db").code == 0


def _trail(file: Path) -> list[tuple[str, str, str | None, str | None]]:
    query = "SELECT action, actor, before, after FROM audit WHERE subject = 'key' ORDER BY number"
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


def test_new_keys_are_in_the_audit_trail(offline_peergate: Peergate, tmp_path: Path) -> None:
    first = offline_peergate("api", "init", "--database", "r.db", "--json").json["key"]
    second = offline_peergate("api", "key", "rotate", "--database", "r.db").out.strip()
    (tmp_path / "r.key").unlink()
    third = offline_peergate("api", "key", "make", "--database", "r.db").out.strip()
    rotated, made = _trail(tmp_path / "r.db")
    assert rotated[0] == "key.rotate"
    assert [json.loads(each or "") for each in rotated[2:]] == [
        {"public": first},
        {"public": second},
    ]
    assert made[0] == "key.make"
    assert json.loads(made[3] or "") == {"public": third}
    assert made[1] == rotated[1]
    # Where only the file is, that is said and done all the same.
    alone = ("--database", "none.db", "--key-file", "r.key")
    away = offline_peergate("api", "key", "rotate", *alone)
    assert (away.code, away.out) == (0, offline_peergate("api", "key", "show", *alone).out)
    assert "warning: the audit trail does not know of it: " in away.err
    assert not (tmp_path / "none.db").exists()


def test_serve_without_a_registry_says_what_to_do(tmp_path: Path) -> None:
    refused = subprocess.run(
        [PEERGATE, *("api", "serve", "--database", "none.db", "--listen", "127.0.0.1:0")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 1
    assert "peergate api init" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_serve_where_nobody_can_listen(offline_peergate: Peergate) -> None:
    assert offline_peergate("api", "init", "--database", "r.db").code == 0
    refused = offline_peergate("api", "serve", "--database", "r.db", "--listen", "nowhere")
    assert refused.code == 1
    assert "listen is ADDRESS:PORT" in refused.err


def test_json_of_every_list_is_a_document(peergate: Peergate) -> None:
    for words in ("gateway list", "peer list", "token list", "status"):
        shown = peergate(*words.split(), "--json")
        assert shown.code == 0
        json.loads(shown.out)
