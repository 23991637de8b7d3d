"""The cut-over story with real packets: strangers seen, registered and signed off; refused,
planned, switched; breached and returned, confirmed, and lapsed with the agent dead."""

import io
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.netns import LabError, Namespace
from lab.production import ROUTER, Agent, Peergate, RegistryService
from lab.topology import BRANCH, BRANCH_V6, GATEWAY, GATEWAY_V6, STRANGER, STRANGER_V6, Topology
from lab.traffic import beacon
from lab.transcript import Transcript
from lab.watch import Watch, wait_until
from tests.control.edge import PORT, SECONDS

# From a plan to its switch: what came since has to be seen before, on a slow machine too.
LEAD = timedelta(seconds=max(SECONDS / 4, 12))
# A packet's time is the link's, where it came in after it was judged.
EDGE = 1.0
HUB = ("--gateway", "hub")
WHO = ("--owner", "Branch networks", "--contact", "netops@example.net")


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds since 1970."""

    at: float
    until: float
    revision: int


@dataclass(slots=True)
class Story:
    net: Topology
    inside: Watch
    operator: Peergate
    agent: Agent

    def knocking(self, host: Namespace, *addresses: str) -> ExitStack:
        """Tunnel packets of a host to the gateway, until the end of the block."""
        stack = ExitStack()
        for address in addresses:
            stack.enter_context(beacon(host, address, PORT))
        return stack

    def plan(self, *options: str) -> Plan:
        at = datetime.now(UTC) + LEAD
        command = ("gateway", "plan-cutover", "hub", "--at", at.isoformat(), *options)
        planned = self.operator.json(*command)
        until = datetime.fromisoformat(planned["until"])
        return Plan(at.timestamp(), until.timestamp(), planned["revision"])

    def refuses(self, why: str) -> None:
        with pytest.raises(LabError, match=why):
            self.plan()

    def has_come(self, plan: Plan) -> bool:
        """Whether the router says that it has the plan in force."""
        report = self.operator.json("router", "show", ROUTER)["report"]
        return report is not None and report["revision"] >= plan.revision

    @property
    def gateway(self) -> dict[str, Any]:
        gateway: dict[str, Any] = self.operator.json("gateway", "show", "hub")
        return gateway

    def becomes(self, state: str) -> bool:
        return wait_until(lambda: self.gateway["cutover"]["state"] == state, SECONDS, 0.2)

    def strangers(self) -> set[str]:
        return {each["source"] for each in self.operator.json("stranger", "list", *HUB)}

    def passed(self, source: str, since: float, until: float = float("inf")) -> int:
        """Tunnel packets that came in at the gateway then."""
        times = self.inside.times(source, socket.IPPROTO_UDP, PORT, since=since)
        return sum(when < until for when in times)

    def passes(self, source: str) -> bool:
        now = time.time()
        return wait_until(lambda: self.passed(source, now) > 0, SECONDS)

    def trail(self) -> list[tuple[str, str]]:
        """Action and author of each step, the first first."""
        found = self.operator.json("audit", "list", "--subject", "cutover/hub")
        return [(each["action"].partition(".")[2], each["actor"]["name"]) for each in found][::-1]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    page = io.StringIO()
    transcript = Transcript(Console(file=page))
    with ExitStack() as stack:
        stack.callback(lambda: print(page.getvalue()))
        net = stack.enter_context(Topology(f"cutover-{os.getpid()}"))
        inside = stack.enter_context(Watch(net.gateway, "eth0"))
        operator = Peergate(transcript, net.registry, tmp_path)
        registry = RegistryService(net.registry, operator, tmp_path)
        stack.callback(registry.stop)
        registry.start()
        addresses = ("--address", GATEWAY, "--address", GATEWAY_V6)
        operator.run("gateway", "add", "hub", *addresses, "--service", "wireguard")
        agent = Agent(net.router, Peergate(transcript, net.router, tmp_path), tmp_path)
        stack.callback(agent.close)
        agent.configure(operator.run("token", "add", ROUTER, "--role", "agent", secret=True))
        agent.start()
        yield Story(net, inside, operator, agent)


@pytest.mark.timeout(12 * SECONDS)
def test_the_cut_over_story(story: Story) -> None:
    with (
        story.knocking(story.net.branch, GATEWAY),
        story.knocking(story.net.stranger, GATEWAY),
    ):
        _breached(story)
        with (
            story.knocking(story.net.branch, GATEWAY_V6),
            story.knocking(story.net.stranger, GATEWAY_V6),
        ):
            _confirmed(story)
            _lapsed(story)
    assert story.trail() == [
        *(("plan", "admin"), ("switch", "peergate"), ("return", "peergate")),
        *(("plan", "admin"), ("switch", "peergate"), ("confirm", "admin"), ("return", "admin")),
        *(("plan", "admin"), ("switch", "peergate"), ("lapse", "peergate")),
    ]


def _breached(story: Story) -> None:
    """Two strangers: one is registered, one signed off. Two more come after that."""
    run = story.operator.run
    assert wait_until(lambda: story.strangers() == {BRANCH, STRANGER}, SECONDS, 0.2)
    story.refuses("2 active strangers are neither registered nor signed off at hub")
    run("stranger", "register", BRANCH, *HUB, *WHO, "--purpose", "Tunnel of branch 7")
    story.refuses(f"stranger: {BRANCH}: udp/51820, .*; peer 1 is pending")
    run("peer", "approve", "1")
    story.refuses(f"1 active stranger is .* at hub, first of all {STRANGER}")
    run("stranger", "sign-off", STRANGER, *HUB, "--reason", "A scanner that we know")
    plan = story.plan("--confirm-within", "10m", "--most-dropped-sources", "1")
    with (
        story.knocking(story.net.branch, GATEWAY_V6),
        story.knocking(story.net.stranger, GATEWAY_V6),
    ):
        assert wait_until(lambda: story.has_come(plan), SECONDS, 0.1)
        assert time.time() < plan.at
        assert story.becomes("returned")
        for source in (BRANCH, STRANGER, BRANCH_V6, STRANGER_V6):
            assert story.passed(source, 0, plan.at) > 0
            assert story.passes(source)
    cutover = story.gateway["cutover"]
    assert cutover["reason"] == (
        "2 sources that passed until then were dropped, and 1 were the most"
    )
    returned = datetime.fromisoformat(cutover["ended"]).timestamp()
    # It may go back within a second: who passes meanwhile is seen below.
    for source in (STRANGER, BRANCH_V6, STRANGER_V6):
        assert story.passed(source, plan.at + EDGE, returned) == 0, source
    assert story.gateway["mode"] == "monitor"


def _confirmed(story: Story) -> None:
    run = story.operator.run
    assert wait_until(lambda: story.strangers() == {BRANCH_V6, STRANGER_V6}, SECONDS, 0.2)
    story.refuses("2 active strangers are neither registered nor signed off at hub")
    run("stranger", "sign-off", "2001:db8::/32", *HUB, "--reason", "They move next year")
    plan = story.plan("--confirm-within", "10m")
    assert story.becomes("switched")
    # Whoever confirms before the registry has noted the switch notes it too.
    assert wait_until(lambda: story.trail()[-1][0] == "switch", SECONDS, 0.2)
    run("gateway", "confirm-cutover", "hub")
    gateway = story.gateway
    assert (gateway["mode"], gateway["enforce_from"], gateway["enforce_until"]) == (
        "enforce",
        None,
        None,
    )
    confirmed = time.time()
    assert story.passes(BRANCH)
    assert wait_until(lambda: time.time() > confirmed + 2 * EDGE, SECONDS)
    for source in (STRANGER, BRANCH_V6, STRANGER_V6):
        assert story.passed(source, plan.at + EDGE) == 0, source
    # Back with one command, also then.
    run("gateway", "return", "hub", "--reason", "The test goes on")
    assert story.passes(STRANGER)
    assert story.gateway["mode"] == "monitor"


def _lapsed(story: Story) -> None:
    """Nobody is there to switch, or to switch back: no agent, and no confirmation."""
    plan = story.plan("--confirm-within", "6s")
    assert wait_until(lambda: story.has_come(plan), SECONDS, 0.1)
    story.agent.kill()
    assert time.time() < plan.at
    assert wait_until(lambda: time.time() > plan.until + 2 * EDGE, 3 * SECONDS)
    for source in (STRANGER, BRANCH_V6, STRANGER_V6):
        assert story.passed(source, plan.at - 3 * EDGE, plan.at) > 0, source
        assert story.passed(source, plan.at + EDGE, plan.until) == 0, source
        assert story.passed(source, plan.until + EDGE) > 0, source
    assert story.passed(BRANCH, plan.at + EDGE, plan.until) > 0
    assert story.becomes("lapsed")
    assert wait_until(lambda: story.gateway["mode"] == "monitor", SECONDS, 0.2)
