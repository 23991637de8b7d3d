"""Fail static: whatever becomes of the agent, registered packets pass and strangers do not."""

import signal
from functools import partial
from pathlib import Path

from control import links, pins, snapshot, state
from lab.topology import BRANCH, STRANGER, UPLINK
from lab.watch import Watch, wait_until
from tests.control.edge import (
    BRANCH_PEER,
    PORT,
    SECONDS,
    Edge,
    Flood,
    gateway,
    many_peers,
    peer,
)


def run_through(edge: Edge, times: int = 2) -> None:
    """Floods of branch and stranger while agents end, by SIGTERM and SIGKILL, and start."""
    agent = edge.start()
    assert edge.lets_in(branch=True)
    with Watch(edge.net.gateway, "eth0") as watch:
        with Flood(edge.net.branch) as branch, Flood(edge.net.stranger) as stranger:
            for _ in range(times):
                before = edge.program()
                assert agent.end() == 0
                agent = edge.start()
                assert edge.program() != before
                agent.kill()
                agent = edge.start()
        assert branch.sent > 500
        assert stranger.sent > 500
        assert wait_until(lambda: watch.count(BRANCH, port=PORT) == branch.sent, SECONDS), (
            f"{watch.count(BRANCH, port=PORT)} of {branch.sent} came through"
        )
        assert watch.count(STRANGER, port=PORT) == 0


def test_restart_under_a_flood_loses_nothing_and_lets_nobody_in(edge: Edge) -> None:
    edge.write_policy()
    run_through(edge)


def is_gone(directory: Path) -> bool:
    return directory not in pins.sets(directory.parent)


def test_tables_grow_under_a_flood(edge: Edge) -> None:
    """Larger ones are another set: it is filled, then the program replaced, the old set removed."""
    edge.write_policy()
    agent = edge.start()
    assert edge.lets_in(branch=True)
    (old,) = pins.sets(edge.bpffs)
    before = edge.counter("registered_pass").packets
    assert before > 0
    with Watch(edge.net.gateway, "eth0") as watch:
        with Flood(edge.net.branch) as branch, Flood(edge.net.stranger) as stranger:
            for count in (100, 1000):
                edge.write_policy([BRANCH_PEER, *many_peers(count)])
                agent.wait_for("larger tables: they take [0-9]+ KiB")
                assert wait_until(partial(is_gone, old), SECONDS)
                (old,) = pins.sets(edge.bpffs)
        assert stranger.sent > 500
        assert wait_until(lambda: watch.count(BRANCH, port=PORT) == branch.sent, SECONDS)
        assert watch.count(STRANGER, port=PORT) == 0
        assert edge.counter("registered_pass").packets == before + branch.sent


def test_tables_grow_for_what_goes_and_what_comes(edge: Edge) -> None:
    """Prefixes stand until those that come instead are written, so there is room for both."""
    half = [peer(f"other-{n}", f"2001:db8:100:{n:x}::/64") for n in range(28)]
    edge.write_policy([BRANCH_PEER, *half])
    agent = edge.start()
    agent.wait_for("is in force: 30 entries")
    edge.write_policy([BRANCH_PEER, *half[:-4]])
    agent.wait_for("is in force: .* 4 rows")
    assert not agent.said("larger tables")
    edge.write_policy(
        [BRANCH_PEER, *[peer(f"new-{n}", f"2001:db8:200:{n:x}::/64") for n in range(24)]]
    )
    agent.wait_for("larger tables: they take [0-9]+ KiB")
    agent.wait_for("is in force: .* 48 rows")
    assert edge.lets_in(branch=True)


def test_killed_the_gate_stays_as_it_is(edge: Edge) -> None:
    edge.write_policy()
    edge.start().kill()
    assert edge.program() is not None
    assert edge.lets_in(branch=True)


def test_the_snapshot_is_on_disk_soon_after_the_start(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    assert wait_until((edge.state_dir / snapshot.NAME).exists, SECONDS)


def test_ended_by_a_signal_it_exits_0_and_the_gate_stays(edge: Edge) -> None:
    edge.write_policy()
    for number in (signal.SIGTERM, signal.SIGINT):
        agent = edge.start()
        agent.process.send_signal(number)
        assert agent.process.wait(5) == 0
        assert edge.lets_in(branch=True)


def test_counters_go_on_over_a_restart(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    assert edge.lets_in(branch=True)
    before = {name: edge.counter(name) for name in ("registered_pass", "unregistered_drop")}
    agent.kill()
    edge.start()
    assert edge.lets_in(branch=True)
    for name, count in before.items():
        assert edge.counter(name).packets > count.packets > 0
        assert edge.counter(name).bytes > count.bytes > 0


def test_gateway_numbers_are_not_used_again(edge: Edge) -> None:
    """A gateway that takes another's place starts its counters at nought."""
    edge.write_policy()
    edge.start().end()
    edge.write_policy(peers=[], gateways=[{**gateway(), "name": "spoke"}])
    edge.start().wait_for("revision 2 of file is in force")
    with edge.maps() as maps:
        rows = maps.tables().gateways
    assert {number: row.name for number, row in rows.items()} == {1: "hub", 2: "spoke"}
    assert rows[1].enforce_until == 0


def test_one_agent_at_a_time(edge: Edge) -> None:
    edge.write_policy()
    first = edge.start()
    second = edge.start(waits=False)
    assert second.exit_status() == 1
    assert second.said(f"another agent runs .* process {first.process.pid}")


def test_maps_left_half_filled_are_not_attached_before_they_are_whole(edge: Edge) -> None:
    """An agent that died while it filled a first set: its maps hold gateways but not all peers."""
    edge.write_policy()
    edge.start().kill()
    with edge.net.router.entered():
        links.ensure_detached(UPLINK, pins.Programs(edge.bpffs))
    state.forget_filled(edge.state_dir)
    (edge.state_dir / snapshot.NAME).unlink(missing_ok=True)
    edge.policy_file.write_text("gateways: 1")
    agent = edge.start(waits=False)
    assert agent.exit_status() == 1
    assert agent.said("there is no last good allowlist")
    assert edge.program() is None
    edge.write_policy([BRANCH_PEER])
    edge.start()
    assert edge.lets_in(branch=True)


def test_the_time_is_saved_and_set(edge: Edge) -> None:
    edge.write_policy()
    edge.start().end()
    saved = state.saved_time(edge.state_dir)
    assert saved > 0
    state.save_time(edge.state_dir, saved + 3600 * 10**9)
    agent = edge.start()
    agent.wait_for("the wall clock is 3[56][0-9]{2} s behind")
    assert edge.status().now.timestamp() * 1e9 > saved + 3500 * 10**9


def test_one_agent_on_a_set_of_maps(edge: Edge) -> None:
    edge.write_policy()
    edge.start()
    edge.configure(state_dir=str(edge.directory / "other-state"))
    other = edge.start(waits=False)
    assert other.exit_status() == 1
    assert other.said(r"bpf: another agent, with another state directory, keeps its maps there")


def test_without_state_the_maps_still_tell_numbers_and_what_to_delete(edge: Edge) -> None:
    """Else another gateway would get the number, and with it the sources."""
    edge.configure(verify_every=600)
    spare = gateway(name="spare", services=["udp/9"])
    edge.write_policy([BRANCH_PEER], [gateway(), spare])
    edge.start().kill()
    for name in (state.FILLED, snapshot.NAME, state.APPLIED):
        (edge.state_dir / name).unlink(missing_ok=True)
    edge.write_policy([], [spare, gateway()])
    edge.start()
    with edge.maps() as maps:
        assert {number: row.name for number, row in maps.gateways().items()} == {
            1: "hub",
            2: "spare",
        }
        assert not maps.tables().entries


def test_a_full_disk_keeps_nothing_out_of_the_maps(edge: Edge) -> None:
    """Stood in for by directories where the files belong, which root cannot write either."""
    edge.state_dir.mkdir()
    for name in (state.FILLED, state.APPLIED, state.POLICY_FILE, state.CLOCK, snapshot.NAME):
        (edge.state_dir / f".{name}.new").mkdir()
    edge.write_policy()
    agent = edge.start()
    assert edge.lets_in(branch=True)
    edge.write_policy([])
    assert edge.lets_in(branch=False)
    assert agent.end() == 0
