"""Log lines: text that nobody forges, JSON that programs read, one line for each change."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.watch import wait_until
from tests.control.conftest import edge  # noqa: F401  # a fixture
from tests.control.edge import BRANCH_PEER, ROOT, SECONDS, Edge, many_peers
from tests.ports import free_port

PEERGATE = Path(sys.executable).with_name("peergate")
FORGED = "hub\n2026-11-28 12:00:00,000 ERROR all is lost\r\x1b[2J\x9b31m\u202e\u2028\x00"
PROGRAM = """
import logging, os, sys
if len(sys.argv) > 3:
    found = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
from cli.logs import log_to_stderr
log_to_stderr(sys.argv[1])
log = logging.getLogger("control.gate")
name = sys.argv[2].encode().decode("unicode_escape")
log.warning("gateway %s", name, extra={"event": "e", "n": 1})
try:
    raise ValueError(name)
except ValueError:
    log.exception("a defect")
log.debug("not this")
"""


def logged(form: str, *more: str, environ: Mapping[str, str] = {}) -> list[str]:
    argument = FORGED.encode("unicode_escape").decode()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form, argument, *more],
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return done.stderr.decode().removesuffix("\n").split("\n")


def test_text_that_comes_from_outside_begins_no_line() -> None:
    first, second, *rest = logged("text")
    assert first[23:] == (
        " WARNING gateway hub\\x0a2026-11-28 12:00:00,000 ERROR all is lost"
        "\\x0d\\x1b[2J\\x9b31m\\u202e\\u2028\\x00"
    )
    assert second[23:] == " ERROR a defect"
    assert len(rest) >= 4
    assert {line[:4] for line in rest} == {"  | "}
    assert all(char.isprintable() for line in (first, second, *rest) for char in line)


def test_json_is_one_object_a_line() -> None:
    warning, error = map(json.loads, logged("json"))
    assert warning.pop("time").endswith("Z")
    assert warning == {
        "level": "warning",
        "logger": "control.gate",
        "message": f"gateway {FORGED}",
        "event": "e",
        "n": 1,
    }
    assert error["traceback"].endswith(f"ValueError: {FORGED}")
    assert all(line.isascii() and line.isprintable() for line in logged("json"))


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_knows_priorities(form: str) -> None:
    first, *rest = logged(form, "journal")
    assert first.startswith('<4>{"' if form == "json" else "<4>WARNING gateway")
    assert {line[:3] for line in rest} == {"<3>"}
    # Somebody else's stderr, who inherited the variable.
    assert "<" not in logged(form, environ={"JOURNAL_STREAM": "8:1"})[0][:1]


def test_a_registry_logs_as_it_is_told(tmp_path: Path) -> None:
    environ = {**os.environ, "PEERGATE_LOG_FORMAT": "json"}
    database = ["--database", str(tmp_path / "registry.db")]
    subprocess.run([PEERGATE, "api", "init", *database], check=True, capture_output=True)
    process = subprocess.Popen(
        [PEERGATE, "api", "serve", *database, "--listen", f"127.0.0.1:{free_port()}"],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["message"].startswith("registry ")
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=SECONDS)
    assert all("level" in json.loads(line) for line in rest.splitlines())


def test_an_agent_says_each_change_once(edge: Edge) -> None:  # noqa: F811
    edge.write_policy(many_peers(150))
    log = edge.directory / "agent.log"
    with log.open("w") as out:
        edge.net.router.popen(
            [
                *(PEERGATE, "agent", "--config", edge.directory / "agent.toml"),
                *("--policy", edge.policy_file, "--log-format", "json"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=out,
            cwd=ROOT,
        )

    def events(name: str) -> list[dict[str, Any]]:
        whole = log.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line.get("event") == name]

    assert wait_until(lambda: bool(events("allowlist.applied")), SECONDS)
    edge.write_policy([BRANCH_PEER])
    assert wait_until(lambda: bool(events("allowlist.held")), SECONDS)
    (applied,), (held,) = events("allowlist.applied"), events("allowlist.held")
    assert (applied["level"], applied["revision"], applied["rows"]) == ("info", 1, 153)
    assert (held["level"], held["revision"], held["logger"]) == ("error", 2, "control.gate")
