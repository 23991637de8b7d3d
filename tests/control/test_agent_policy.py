"""The agent on a policy file: followed while it runs, broken ones refused, large removals held."""

import time
from datetime import UTC, datetime, timedelta

from control import state
from control.detach import detach
from control.entries import Entries, Entry
from control.model import Difference, Tables
from lab.topology import BRANCH, STRANGER
from lab.watch import wait_until
from policy.window import to_ns
from tests.control.edge import BRANCH_PEER, SECONDS, Edge, gateway, many_peers, peer


def test_a_changed_file_is_followed(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    assert edge.lets_in(branch=True)
    edge.write_policy([BRANCH_PEER, peer("guest", STRANGER)])
    agent.wait_for("revision 2 of file is in force")
    assert edge.lets_in(branch=True, stranger=True)
    edge.write_policy([peer("guest", STRANGER)])
    assert edge.lets_in(branch=False, stranger=True)


def test_monitor_mode_lets_pass_and_counts(edge: Edge) -> None:
    edge.write_policy(gateways=[gateway("monitor")])
    edge.start()
    assert edge.lets_in(branch=True, stranger=True)
    assert edge.counter("unregistered_pass").packets > 0
    assert edge.counter("unregistered_drop").packets == 0


def test_a_broken_file_is_refused_and_the_last_good_one_stays(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    edge.policy_file.write_text("gateways:\n  - {name: hub, addresses: [198.51.100.0/20]}\n")
    agent.wait_for(r"yaml is refused: line 2: gateways\[0\].addresses\[0\]: 198.51.100.0/20: ")
    assert agent.said(r"refused: line 2: gateways\[0\].services: missing")
    assert edge.lets_in(branch=True)
    edge.policy_file.unlink()
    agent.wait_for("policy.yaml is refused: .*No such file")
    assert edge.lets_in(branch=True)
    edge.write_policy([])
    assert edge.lets_in(branch=False)


def test_broken_at_the_start_the_last_good_one_is_used(edge: Edge) -> None:
    """After a reboot, which takes the pins along."""
    edge.write_policy()
    edge.start().end()
    reboot(edge)
    edge.policy_file.write_text("peers: {")
    agent = edge.start()
    assert agent.said("policy.yaml is refused: .*not a YAML document")
    assert agent.said("starting from revision 1 on disk")
    assert edge.lets_in(branch=True)


def test_broken_at_the_very_first_start_is_the_end(edge: Edge) -> None:
    edge.policy_file.write_text("peers: {")
    agent = edge.start(waits=False)
    assert agent.exit_status() == 1
    assert agent.said("policy.yaml is refused: .*not a YAML document")
    assert "Traceback" not in agent.log
    assert edge.program() is None


def reboot(edge: Edge) -> None:
    """What a reboot takes: attachment, pins and the boot's own memory."""
    with edge.net.router.entered():
        detach(edge.settings)


def test_too_large_a_removal_is_held_until_accepted(edge: Edge) -> None:
    edge.write_policy([BRANCH_PEER, *many_peers(150)])
    agent = edge.start()
    edge.write_policy([])
    agent.wait_for("revision 2 would remove 152 of 152 sources: held until .*--accept-removal 2")
    assert edge.lets_in(branch=True)
    assert "152 of 152" in (edge.status().held or "")
    state.accept_removal(edge.state_dir, 1)  # another revision: no
    edge.write_policy([peer("guest", STRANGER)])
    agent.wait_for("revision 3 would remove 152 of 152 sources")
    assert edge.lets_in(branch=True)
    edge.write_policy([])
    agent.wait_for("revision 4 would remove")
    state.accept_removal(edge.state_dir, 4)
    agent.wait_for("revision 4 of file is in force")
    assert edge.lets_in(branch=False)
    assert edge.status().held is None


def test_a_held_removal_is_held_after_a_restart_too(edge: Edge) -> None:
    edge.write_policy([BRANCH_PEER, *many_peers(150)])
    agent = edge.start()
    edge.write_policy([BRANCH_PEER])
    agent.wait_for("revision 2 would remove")
    agent.kill()
    edge.start().wait_for("revision 2 would remove")
    assert edge.lets_in(branch=True)
    assert edge.status().prefixes == 150


def test_a_held_removal_is_held_after_a_reboot_too(edge: Edge) -> None:
    edge.write_policy([BRANCH_PEER, *many_peers(150)])
    edge.start().end()
    reboot(edge)
    edge.write_policy([])
    edge.start().wait_for("revision 2 would remove")
    assert edge.lets_in(branch=True)


def test_a_removal_taken_back_needs_no_confirmation(edge: Edge) -> None:
    full = [BRANCH_PEER, *many_peers(150)]
    edge.write_policy(full)
    agent = edge.start()
    edge.write_policy([])
    agent.wait_for("revision 2 would remove")
    edge.write_policy([*full, peer("guest", STRANGER)])
    agent.wait_for("revision 3 of file is in force")
    assert edge.lets_in(branch=True, stranger=True)
    assert edge.status().held is None


def test_what_does_not_fit_is_refused_and_the_rest_stays(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    edge.write_policy(many_peers(1100))
    agent.wait_for("revision 2 refused: .*prefixes.* 1100 .*room for 1024.*max_prefixes")
    assert edge.lets_in(branch=True)
    edge.write_policy([peer("guest", STRANGER)])
    assert edge.lets_in(branch=False, stranger=True)


def test_drift_is_repaired_and_counted(edge: Edge) -> None:
    edge.write_policy([BRANCH_PEER, peer("future", STRANGER, valid_from="2100-01-01T00:00:00Z")])
    agent = edge.start()
    with edge.maps() as maps:
        wanted = maps.tables()
        entries = {
            (number, source): Entry(9, source.prefixlen)
            for number, source in wanted.entries
            if str(source) == f"{STRANGER}/32"
        }
        changed = Entries.of(entries)
        gone = wanted.entries.without(changed)
        maps.apply(Difference(Tables(entries=changed), Tables(entries=gone)))
        agent.wait_for("maps differed from the allowlist in 3 rows: repaired")
        assert wait_until(lambda: maps.tables() == wanted, SECONDS)
    assert edge.lets_in(branch=True, stranger=False)


def test_the_clock_cell_is_kept_true(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    with edge.maps() as maps:
        right = maps.clock()
        maps.set_clock(0)
        assert wait_until(lambda: maps.clock() == right, SECONDS)


def test_windows_open_and_close_on_time(edge: Edge) -> None:
    """Two windows with a gap: the kernel closes the first, the agent writes the second."""
    edge.write_policy()
    agent = edge.start()
    now = datetime.now(UTC)

    def at(seconds: float) -> str:
        return (now + timedelta(seconds=seconds)).isoformat()

    edge.write_policy(
        [
            peer("first", BRANCH, valid_until=at(6)),
            peer("again", BRANCH, valid_from=at(12), valid_until=at(3600)),
            peer("later", STRANGER, valid_from=at(12)),
        ]
    )
    assert edge.lets_in(branch=False, stranger=False)
    assert edge.counter("expired_drop").packets > 0
    agent.wait_for("1 entries have another window now")
    assert edge.lets_in(branch=True, stranger=True)


def test_a_peer_ends_on_time_with_the_agent_dead(edge: Edge) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    edge.write_policy([peer("branch", BRANCH, valid_until=until.isoformat())])
    edge.start().kill()
    assert edge.lets_in(branch=True)
    assert edge.counter("expired_drop").packets == 0
    with edge.maps() as maps:
        # Three seconds before its end; from here on nobody does anything.
        maps.set_clock(to_ns(until) - 3 * 10**9 - time.monotonic_ns())
    assert edge.lets_in(branch=False)
    assert edge.counter("expired_drop").packets > 0


def test_a_cut_over_is_on_time_with_the_agent_dead(edge: Edge) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    edge.write_policy(gateways=[gateway("enforce", enforce_from=start.isoformat())])
    edge.start().kill()
    assert edge.lets_in(branch=True, stranger=True)
    assert edge.counter("unregistered_drop").packets == 0
    with edge.maps() as maps:
        maps.set_clock(to_ns(start) - 3 * 10**9 - time.monotonic_ns())
    assert edge.lets_in(branch=True, stranger=False)
    assert edge.counter("unregistered_drop").packets > 0
