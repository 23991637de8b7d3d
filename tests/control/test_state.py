"""State files where the agent is a user of its own, and root writes beside it."""

import os
from pathlib import Path

import pytest

from control import state
from control.errors import SettingsError
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


@pytest.mark.timeout(30)
@pytest.mark.parametrize("trap", ["symbolic link", "hard link", "pipe"])
def test_root_writes_into_nothing_that_the_agent_put_there(state_dir: Path, trap: str) -> None:
    precious = state_dir / "precious"
    precious.write_text("root's")
    temporary = state_dir / f".{state.ACCEPTED_REMOVAL}.new"
    if trap == "symbolic link":
        temporary.symlink_to(precious)
    elif trap == "hard link":
        temporary.hardlink_to(precious)
    else:
        os.mkfifo(temporary)
    state.accept_removal(state_dir, 7)
    assert state.accepted_removal(state_dir) == 7
    assert (precious.read_text(), precious.stat().st_uid) == ("root's", 0)


def test_root_follows_no_link_to_lock(state_dir: Path) -> None:
    precious = state_dir / "precious"
    precious.write_text("root's")
    (state_dir / NAME).symlink_to(precious)
    with pytest.raises(SettingsError), only_agent(state_dir):
        pass
    assert (precious.read_text(), precious.stat().st_uid) == ("root's", 0)
