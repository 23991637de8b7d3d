"""The page with packets flowing: somebody knocks, is registered, approved, passes, is revoked. At
the end the page, the command and the metrics say the same of everything."""

import io
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from rich.console import Console

from lab.production import ROUTER, URL, Agent, Peergate, RegistryService
from lab.topology import BRANCH, GATEWAY, GATEWAY_V6, STRANGER, Topology
from lab.traffic import beacon
from lab.transcript import Transcript
from lab.watch import Watch, wait_until
from tests.control.edge import PORT, SECONDS
from tests.page.browser import PATIENCE_MS, Visit, chromium
from tests.page.pictures import picture
from tests.scrape import Scrape

METRICS = 9470
# Packets and bytes by verdict and action.
Counters = dict[tuple[str, str], tuple[int, int]]
expect.set_options(timeout=2 * PATIENCE_MS)


@dataclass(slots=True)
class Story:
    net: Topology
    inside: Watch
    operator: Peergate
    router: Peergate
    agent: Agent
    visit: Visit

    @property
    def page(self) -> Page:
        return self.visit.page

    @property
    def sums(self) -> Locator:
        return self.page.get_by_role("table", name="In all, as routers count")

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    def decide(self, action: str, name: str, reason: str = "") -> None:
        """The row's button, what it says that would come of it, and again."""
        self.page.get_by_role("button", name=action).first.click()
        dialog = self.page.get_by_role("dialog", name=f"{action} {name}")
        expect(dialog.get_by_role("region", name="What this would do")).to_be_visible()
        picture(self.page, action.lower())
        if reason:
            dialog.get_by_label("Reason").fill(reason)
        dialog.get_by_role("button", name=action).click()
        expect(dialog).to_have_count(0)

    def passed(self) -> int:
        """Tunnel packets of the branch that came in at the gateway."""
        return self.inside.count(BRANCH, socket.IPPROTO_UDP, PORT)

    def on_the_page(self) -> Counters:
        """The sums of the gateway's view."""
        self.page.reload()
        self.sums.wait_for()
        found = {}
        for each in self.sums.locator("tbody tr").all():
            words, packets, octets = each.locator("th, td").all_text_contents()
            verdict, action = words.split(", ")
            key = (verdict, "drop" if action == "dropped" else "pass")
            found[key] = (int(packets.replace(",", "")), int(octets.replace(",", "")))
        return found

    def by_the_command(self) -> Counters:
        said = self.router.json("status", "--config", str(self.agent.config))["router"]
        (hub,) = (each for each in said["gateways"] if each["name"] == "hub")
        return {
            split(name): (count["packets"], count["bytes"])
            for name, count in hub["counters"].items()
            if count["packets"]
        }

    def by_the_metrics(self) -> Counters:
        found = self.scrape(self.net.router.entered, f"http://127.0.0.1:{METRICS}/metrics")
        return {
            (labels["verdict"], labels["action"]): (
                int(packets),
                int(found.value("peergate_bytes_total", **labels)),
            )
            for (name, pairs), packets in found.values.items()
            if name == "peergate_packets_total"
            and (labels := dict(pairs))["gateway"] == "hub"
            and packets
        }

    def scrape(self, entered: Callable[[], object], url: str) -> Scrape:
        token = self.operator.settings["PEERGATE_TOKEN"]
        with entered(), httpx.Client(timeout=SECONDS) as http:  # type: ignore[attr-defined]
            answered = http.get(url, headers={"Authorization": f"Bearer {token}"})
        assert answered.status_code == 200, answered.text
        return Scrape.of(answered.text)


def split(counter: str) -> tuple[str, str]:
    verdict, _, action = counter.rpartition("_")
    return verdict, action


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    written = io.StringIO()
    transcript = Transcript(Console(file=written))
    with ExitStack() as stack:
        stack.callback(lambda: print(written.getvalue()))
        net = stack.enter_context(Topology(f"page-{os.getpid()}"))
        inside = stack.enter_context(Watch(net.gateway, "eth0"))
        operator = Peergate(transcript, net.registry, tmp_path)
        registry = RegistryService(net.registry, operator, tmp_path)
        stack.callback(registry.stop)
        registry.start()
        addresses = ("--address", GATEWAY, "--address", GATEWAY_V6)
        mode = ("--service", "wireguard", "--mode", "enforce")
        operator.run("gateway", "add", "hub", *addresses, *mode)
        router = Peergate(transcript, net.router, tmp_path)
        agent = Agent(net.router, router, tmp_path)
        stack.callback(agent.close)
        agent.configure(operator.run("token", "add", ROUTER, "--role", "agent", secret=True))
        with agent.config.open("a") as file:
            file.write(f"metrics_listen = {METRICS}\n")
        agent.start()
        with net.registry.entered():
            browser = stack.enter_context(chromium())
        visit = Visit(browser, URL)
        stack.callback(visit.close)
        visit.sign_in(operator.settings["PEERGATE_TOKEN"])
        yield Story(net, inside, operator, router, agent, visit)


@pytest.mark.timeout(12 * SECONDS)
def test_from_a_knock_to_a_revocation(story: Story) -> None:
    page, visit = story.page, story.visit
    with beacon(story.net.branch, GATEWAY, PORT), beacon(story.net.stranger, GATEWAY, PORT):
        visit.go("Strangers")
        expect(story.row(STRANGER)).to_be_visible()
        assert story.passed() == 0
        picture(page, "strangers")
        story.row(BRANCH).get_by_role("button", name="Register").click()
        dialog = page.get_by_role("dialog", name=f"Register {BRANCH}")
        for label, text in (
            ("Name", "branch-7"),
            ("Owner", "Branch networks"),
            ("Contact", "netops@example.net"),
            ("Purpose", "Site-to-site tunnel of branch 7"),
        ):
            dialog.get_by_label(label).fill(text)
        dialog.get_by_role("button", name="Ask for it").click()
        expect(dialog).to_have_count(0)
        visit.go("Queue")
        expect(story.row("branch-7")).to_be_visible()
        story.decide("Approve", "branch-7")
        expect(page.get_by_text("Nobody waits.")).to_be_visible()
        visit.go("Routers")
        expect(story.row(ROUTER)).to_contain_text("up to date")
        expect(story.row(ROUTER)).to_contain_text("uplink: native")
        assert wait_until(lambda: story.passed() > 0, SECONDS)
        _explained(story)
        page.goto("/#/gateway/hub")
        passes = story.sums.get_by_role("row").filter(has_text="registered, passed")
        moving = passes.locator("td").first
        expect(moving).to_have_text(re.compile("[1-9]"))
        first = moving.text_content() or ""
        # By itself: nobody reloads.
        expect(moving).not_to_have_text(first)
        chart = page.get_by_role("img", name="Packets a second: ")
        expect(chart.locator("canvas")).to_be_visible()
        picture(page, "gateway", later=True)
        visit.go("Peers")
        page.locator("#main").get_by_role("link", name="branch-7").click()
        story.decide("Revoke", "branch-7", "Branch 7 was closed")
        expect(page.locator(".badge").first).to_have_text("revoked")
        (peer,) = story.operator.json("peer", "list")
        assert (peer["state"], peer["reason"]) == ("revoked", "Branch 7 was closed")
        visit.go("Routers")
        expect(story.row(ROUTER)).to_contain_text("up to date")
    end = story.passed()
    _agree(story)
    assert story.passed() == end
    assert visit.complaints == []


def _explained(story: Story) -> None:
    """The router's own program says what becomes of both."""
    page = story.page
    page.locator("#main").get_by_role("link", name=ROUTER).click()
    expect(page.get_by_label("Router")).to_have_value(ROUTER)
    page.get_by_label("To", exact=True).fill(GATEWAY)
    page.get_by_label("Port").fill(str(PORT))
    page.get_by_label("From").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_label("From")).to_have_attribute("aria-invalid", "true")
    told = page.get_by_role("region", name="What becomes of it")
    for source, words in ((STRANGER, "dropped unregistered"), (BRANCH, "passes registered")):
        page.get_by_label("From").fill(source)
        page.keyboard.press("Enter")
        expect(told.get_by_role("heading")).to_have_text(words)
    expect(told.get_by_role("link", name="branch-7")).to_be_visible()


def _agree(story: Story) -> None:
    """Once nothing moves any more, and the last report has come."""
    story.page.goto("/#/gateway/hub")
    said: list[Counters] = []

    def agree() -> bool:
        said[:] = [story.by_the_metrics(), story.on_the_page(), story.by_the_command()]
        return said[0] == said[1] == said[2]

    assert wait_until(agree, SECONDS, 0.5), said
    assert said[0]["registered", "pass"][0] == story.passed()
    assert said[0]["unregistered", "drop"][0] > 0
    metrics = story.scrape(story.net.registry.entered, f"{URL}/metrics")
    listed = story.operator.json("stranger", "list", "--all")
    story.page.goto("/#/strangers?covered=true&signed_off=true")
    expect(story.page.locator("tbody tr")).to_have_count(len(listed))
    assert metrics.value("peergate_registry_strangers_active", gateway="hub") == len(listed)
    for each in listed:
        expect(story.row(each["source"])).to_contain_text(f"{each['packets']:,}")
    (router,) = story.operator.json("router", "list")
    story.page.goto("/#/routers")
    expect(story.row(ROUTER)).to_contain_text("up to date")
    cells = story.row(ROUTER).locator("td").all_text_contents()
    assert cells[:3] == ["good", str(router["report"]["revision"]), "up to date"]
    assert metrics.value("peergate_registry_routers", health="good") == 1
    assert metrics.value("peergate_registry_revision") == router["report"]["revision"]
    story.page.goto("/#/peers?state=revoked")
    expect(story.page.locator("tbody tr")).to_have_count(1)
    assert metrics.value("peergate_registry_peers", state="revoked") == 1
    trail = story.operator.json("audit", "list")
    story.page.goto("/#/audit")
    expect(story.page.locator("tbody tr")).to_have_count(len(trail))
    assert metrics.value("peergate_registry_audit_records_total") == len(trail)
