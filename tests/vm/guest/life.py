"""Run by pytest in a virtual machine: agents on an uplink of each driver, from first to upgrade.

What tests/control has in many tests is one here: a program takes its time to compile where
processors are emulated.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control import ethtool, links, pins
from control.dataplane import DataPlane
from control.model import Difference, Tables
from lab.topology import BRANCH, STRANGER, UPLINK, Topology
from lab.watch import Watch, wait_until
from policy.window import to_ns
from tests.control.edge import (
    BRANCH_PEER,
    PORT,
    SECONDS,
    AgentProcess,
    Edge,
    Flood,
    gateway,
    many_peers,
    peer,
)
from tests.control.test_agent_attach import put
from tests.vm.guest.cards import CardTopology

HUB = 1  # its number: the first


class Trickle(Flood):
    """Some dozens a second, so that one emulated processor gets other things done."""

    PACE = 0.02


@pytest.fixture(params=["veth", "virtio_net"])
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    kind = CardTopology if request.param == "virtio_net" else Topology
    with kind(f"life-{request.param}-{os.getpid()}") as net:
        made = Edge(tmp_path, net)
        try:
            with net.router.entered():
                assert ethtool.driver(UPLINK) == request.param
            yield made
        finally:
            net.router.close()
            made.close()


def modes(edge: Edge) -> list[str]:
    return [mode for mode, _ in edge.attachment().programs]


def counted(maps: DataPlane, name: str) -> int:
    return maps.counters()[HUB][name].packets


def shortly_before(moment: datetime, maps: DataPlane) -> None:
    """Three seconds: from here on nobody does anything."""
    maps.set_clock(to_ns(moment) - 3 * 10**9 - time.monotonic_ns())


def test_the_life_of_agents(edge: Edge) -> None:
    cut_over = datetime.now(UTC) + timedelta(hours=1)
    end = cut_over + timedelta(hours=1)
    edge.write_policy(
        [peer("branch", BRANCH, valid_until=end.isoformat())],
        [gateway(enforce_from=cut_over.isoformat())],
    )

    edge.configure(attach="generic")
    assert edge.start().end() == 0
    assert modes(edge) == ["generic"]
    assert edge.lets_in(branch=True, stranger=True)

    edge.configure(attach="native")
    agent = edge.start()
    assert modes(edge) == ["native"]
    program = edge.program()
    with edge.maps() as maps:
        wanted = maps.tables()
        maps.apply(Difference(Tables(), Tables(entries=wanted.entries)))
        agent.wait_for("maps differed from the allowlist in 1 rows: repaired")
        assert wait_until(lambda: maps.tables() == wanted, SECONDS)
        put(edge, links.DETACH, links.MODE_FLAG["native"])
        assert wait_until(lambda: edge.program() == program, SECONDS)

        agent.kill()
        assert edge.program() == program
        assert counted(maps, "unregistered_drop") == counted(maps, "expired_drop") == 0
        shortly_before(cut_over, maps)
        assert edge.lets_in(branch=True, stranger=False)
        dropped = counted(maps, "unregistered_drop")
        assert dropped > 0
        shortly_before(end, maps)
        assert edge.lets_in(branch=False, stranger=False)
        assert counted(maps, "expired_drop") > 0

        edge.write_policy()
        agent = edge.start()
        assert edge.program() not in (None, program)
        assert edge.lets_in(branch=True, stranger=False)
        assert counted(maps, "unregistered_drop") > dropped

    upgrade(edge, agent)


def upgrade(edge: Edge, agent: AgentProcess) -> None:
    """To larger tables, while branch and stranger send."""
    (old,) = pins.sets(edge.bpffs)
    with Watch(edge.net.gateway, "eth0") as watch:
        with Trickle(edge.net.branch) as branch, Trickle(edge.net.stranger) as stranger:
            edge.write_policy([BRANCH_PEER, *many_peers(100)])
            agent.wait_for("larger tables")
            assert wait_until(lambda: old not in pins.sets(edge.bpffs), SECONDS)
        assert stranger.sent > 50
        assert wait_until(lambda: watch.count(BRANCH, port=PORT) == branch.sent, SECONDS), (
            f"{watch.count(BRANCH, port=PORT)} of {branch.sent} came through"
        )
        assert watch.count(STRANGER, port=PORT) == 0
