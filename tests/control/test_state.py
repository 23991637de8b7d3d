"""State files where the agent is a user of its own, and root writes beside it."""

import os
from pathlib import Path

import pytest

from control import state
from control.errors import SettingsError, SnapshotError
from control.lock import NAME, only_agent

AGENT = 54321


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    os.chown(tmp_path, AGENT, AGENT)
    return tmp_path


def test_what_root_writes_is_the_agents(state_dir: Path) -> None:
    state.accept_removal(state_dir, 7)
    with only_agent(state_dir):
        pass
    files = [state_dir / state.ACCEPTED_REMOVAL, state_dir / NAME]
    assert [(file.stat().st_uid, file.stat().st_gid) for file in files] == [(AGENT, AGENT)] * 2


def test_root_follows_no_link_that_the_agent_made(state_dir: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("root's")
    (state_dir / f".{state.ACCEPTED_REMOVAL}.new").symlink_to(precious)
    (state_dir / NAME).symlink_to(precious)
    with pytest.raises(SnapshotError):
        state.accept_removal(state_dir, 7)
    with pytest.raises(SettingsError), only_agent(state_dir):
        pass
    assert (precious.read_text(), precious.stat().st_uid) == ("root's", 0)
