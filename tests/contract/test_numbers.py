"""Real packets, a real registry and an agent: status, API and metrics say the same at the end."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.bootstrap import init
from api.settings import Settings
from lab.netns import Namespace
from lab.topology import BRANCH, GATEWAY, GATEWAY_V6, REGISTRY, Topology
from lab.watch import wait_until
from policy.window import rfc3339
from tests.api.bodies import gateway, peer
from tests.control.edge import PORT, ROOT, SECONDS, AgentProcess, Edge, udp
from tests.deploy.expressions import OWN, expressions, used
from tests.scrape import Scrape, assert_good

URL = f"http://{REGISTRY}:8470"
METRICS = 9470
PEERGATE = Path(sys.executable).with_name("peergate")

# Of a cut-over.
SAID = ("state", "at", "until", "strangers", "most_dropped_sources")
# Packets and bytes by gateway, verdict and action.
Counters = dict[tuple[str, str, str], tuple[int, int]]


@dataclass
class Site:
    """The lab with both of peergate's parts; `tokens` are those of the roles."""

    edge: Edge
    tokens: dict[str, str]
    agent: AgentProcess | None = None

    def ask(self, method: str, path: str, body: object = None, role: str = "admin") -> Any:  # noqa: ANN401  # JSON
        headers = {"Authorization": f"Bearer {self.tokens[role]}", "If-Match": "*"}
        with self.edge.net.registry.entered(), httpx.Client(timeout=SECONDS) as http:
            answered = http.request(method, URL + path, json=body, headers=headers)
        assert answered.is_success, answered.text
        return answered.text if role == "metrics" else answered.json() if answered.content else None

    def approved(self, **fields: object) -> None:
        number = self.ask("POST", "/v1/peers", peer(**fields))["id"]
        self.ask("POST", f"/v1/peers/{number}/approve")

    def status(self) -> dict[str, Any]:
        """As `peergate status` prints it on the router: of router and registry."""
        return self.command("status", "--config", str(self.edge.directory / "agent.toml"))

    def command(self, *words: str) -> dict[str, Any]:
        """What it prints as JSON, on the router."""
        done = self.edge.net.router.run(
            [PEERGATE, *words, "--url", URL, "--json"],
            env={**os.environ, "PEERGATE_TOKEN": self.tokens["admin"]},
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def router_scrape(self) -> Scrape:
        with self.edge.net.router.entered(), httpx.Client(timeout=SECONDS) as http:
            answered = http.get(f"http://127.0.0.1:{METRICS}/metrics")
        assert answered.status_code == 200, answered.text
        return Scrape.of(answered.text)

    def registry_scrape(self) -> Scrape:
        return Scrape.of(self.ask("GET", "/metrics", role="metrics"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    settings = Settings(database_url=f"sqlite:///{directory}/registry.db")
    admin = init(settings).token
    assert admin is not None
    with Topology(f"numbers-{os.getpid()}") as net, (directory / "api.log").open("w") as log:
        edge = Edge(directory, net)
        try:
            net.registry.popen(
                [PEERGATE, "api", "serve", "--listen", f"{REGISTRY}:8470"],
                env={**os.environ, "PEERGATE_DATABASE_URL": settings.database_url},
                stderr=log,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
            )
            assert wait_until(lambda: listens(net.registry), SECONDS)
            made = Site(edge, {"admin": admin})
            for role, name in (("agent", "edge-1"), ("metrics", "prometheus")):
                made.tokens[role] = made.ask("POST", "/v1/tokens", {"name": name, "role": role})[
                    "token"
                ]
            (directory / "token").write_text(made.tokens["agent"])
            (directory / "token").chmod(0o600)
            edge.configure(
                registry_url=URL, token_file=str(directory / "token"), metrics_listen=METRICS
            )
            send_everything(made)
            yield made
        finally:
            net.router.close()
            edge.close()


def listens(host: Namespace) -> bool:
    with host.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        return made.connect_ex((REGISTRY, 8470)) == 0


def send_everything(site: Site) -> None:
    """Gateways that enforce and that monitor; peers in each state; packets of each verdict."""
    edge, net = site.edge, site.edge.net
    site.ask("POST", "/v1/gateways", gateway(addresses=[GATEWAY], services=["wireguard"]))
    watched = gateway(name="watched", addresses=[GATEWAY_V6], services=["gre"], mode="monitor")
    site.ask("POST", "/v1/gateways", watched)
    now = datetime.now(UTC)
    site.approved(sources=[BRANCH])
    site.approved(name="prefix", sources=["2001:db8:7::/48"])
    past, later = (rfc3339(now + timedelta(days=days)) for days in (-2, 2))
    site.approved(name="over", sources=["192.0.2.66"], valid_until=past)
    site.approved(name="later", sources=["203.0.113.8"], valid_from=later)
    site.approved(
        name="soon", sources=["203.0.113.9"], valid_until=rfc3339(now + timedelta(hours=9))
    )
    site.ask("POST", "/v1/peers", peer(name="asked", sources=["203.0.113.10"]))
    site.agent = edge.start(on_policy=False)
    site.agent.wait_for("metrics at")
    net.branch.add_address("eth0", "203.0.113.99/24")
    with udp(net.branch) as branch, udp(net.branch) as other, udp(net.stranger) as stranger:
        other.bind(("203.0.113.99", 0))
        for n in range(30):
            branch.sendto(b"x" * n, (GATEWAY, PORT))  # registered
            branch.sendto(b"x", (GATEWAY, PORT + 1))  # unprotected
            other.sendto(b"x" * 200, (GATEWAY, PORT))  # unregistered
            if n % 3 == 0:
                stranger.sendto(b"x", (GATEWAY, PORT))  # expired
                stranger.sendto(b"x", ("198.51.100.129", PORT))  # bystander
    with net.branch.socket(socket.AF_INET6, socket.SOCK_RAW, 47) as gre:
        for _ in range(7):
            gre.sendto(b"\0\0\x08\0" + b"x" * 40, (GATEWAY_V6, 0))  # would be dropped


def in_status(found: dict[str, Any]) -> Counters:
    router = found["router"]
    of = {"": router["counters"]} | {g["name"]: g["counters"] for g in router["gateways"]}
    return counters(of)


def in_report(found: dict[str, Any]) -> Counters:
    return counters(found["report"]["counters"])


def counters(of: dict[str, dict[str, dict[str, int]]]) -> Counters:
    return {
        (name, *split(counter)): (count["packets"], count["bytes"])
        for name, each in of.items()
        for counter, count in each.items()
        if count["packets"]
    }


def split(counter: str) -> tuple[str, str]:
    verdict, _, action = counter.rpartition("_")
    return verdict, action


def in_metrics(found: Scrape) -> Counters:
    by = {
        (labels["gateway"], labels["verdict"], labels["action"]): (
            int(packets),
            int(found.value("peergate_bytes_total", **labels)),
        )
        for (name, pairs), packets in found.values.items()
        if name == "peergate_packets_total" and (labels := dict(pairs))
    }
    return {key: count for key, count in by.items() if count[0]}


def test_the_counters_agree(site: Site) -> None:
    said: list[Counters] = []

    def agree() -> bool:
        """Once nothing moves any more, and the last report has come."""
        said[:] = [
            in_metrics(site.router_scrape()),
            in_status(site.status()),
            in_report(site.ask("GET", "/v1/routers/edge-1")),
            in_metrics(site.router_scrape()),
        ]
        return said[0] == said[1] == said[2] == said[3] and len(said[0]) >= 6

    assert wait_until(agree, SECONDS), said
    found = {key: packets for key, (packets, _) in said[0].items()}
    assert found["hub", "registered", "pass"] == 30
    assert found["hub", "unregistered", "drop"] == 30
    assert found["hub", "unprotected", "pass"] >= 30
    assert found["hub", "expired", "drop"] == 10
    assert found["watched", "unregistered", "pass"] == 7
    assert found["", "bystander", "pass"] >= 10
    _, octets = said[0]["hub", "unregistered", "drop"]
    assert octets == 30 * (14 + 20 + 8 + 200)


def test_everything_else_agrees(site: Site) -> None:
    assert wait_until(lambda: "edge-1" in str(site.ask("GET", "/v1/strangers")), 3 * SECONDS)
    found, router, registry = site.status(), site.router_scrape(), site.registry_scrape()
    mine, theirs = found["router"], found["registry"]
    (report,) = (each["report"] for each in theirs["router_reports"])
    assert (
        router.value("peergate_applied_revision")
        == router.value("peergate_known_revision")
        == registry.value("peergate_registry_revision")
        == mine["revision"]
        == theirs["revision"]
        == report["revision"]
    )
    states = {
        state: registry.value("peergate_registry_peers", state=state)
        for state in ("pending", "active", "expired", "future", "rejected", "revoked")
    }
    assert states.pop("future") == 1
    assert states == {state: theirs["peers"][state] for state in states}
    entries = {
        kind: {
            state: router.value("peergate_entries", kind=kind, state=state)
            for state in ("active", "future", "expired")
        }
        for kind in ("host", "prefix")
    }
    assert entries == {
        "host": {"active": 2, "future": 1, "expired": 1},
        "prefix": {"active": 1, "future": 0, "expired": 0},
    }
    assert sum(entries["host"].values()) == mine["entries"]["hosts"] == report["entries"]["hosts"]
    assert sum(entries["prefix"].values()) == mine["entries"]["prefixes"]
    assert router.value("peergate_entries_expiring", within="24h") == 1
    assert registry.value("peergate_registry_peers_expiring", within="24h") == 1
    for gateway_ in mine["gateways"]:
        enforces = router.value("peergate_gateway_enforces", gateway=gateway_["name"])
        assert enforces == gateway_["enforces_now"]
    modes = [g["mode"] for g in site.ask("GET", "/v1/gateways")["items"]]
    for mode in ("enforce", "monitor"):
        assert registry.value("peergate_registry_gateways", mode=mode) == modes.count(mode)
    assert registry.value("peergate_registry_routers", health="good") == theirs["routers"] == 1
    assert registry.value("peergate_registry_slowest_router_revisions") == 0
    assert registry.value("peergate_registry_routers_waiting") == 1
    assert router.value("peergate_repairs_total") == report["repairs"]
    attached = router.value("peergate_interface_attached", interface="uplink", attach="native")
    assert attached == mine["interfaces"][0]["attached"] == report["interfaces"][0]["attached"]
    every = site.ask("GET", "/v1/strangers?covered=true&signed_off=true")["items"]
    for name in ("hub", "watched"):
        active = registry.value("peergate_registry_strangers_active", gateway=name)
        assert active == sum(each["gateway"] == name for each in every)
    assert [each["covered"] for each in every if each["source"] == "192.0.2.66"] == [
        {"peer": 3, "name": "over", "state": "expired"}
    ]
    trail = site.ask("GET", "/v1/audit?limit=500")["items"]
    newest = max(each["number"] for each in trail)
    assert registry.value("peergate_registry_audit_records_total") == newest


def test_the_packets_of_strangers_agree(site: Site) -> None:
    """Those of registrations that have ended among them: few enough to be sampled one by one."""
    for name, sent in (("hub", 40), ("watched", 7)):
        said: list[int] = []

        def agree(name: str = name, sent: int = sent, said: list[int] = said) -> bool:
            """Once the last report of strangers has come."""
            kept = site.ask("GET", f"/v1/strangers?gateway={name}&covered=true")["items"]
            days = site.ask("GET", f"/v1/gateways/{name}/strangers")["days"]
            counted = in_metrics(site.router_scrape())
            said[:] = [
                sum(each["packets"] for each in kept),
                sum(each["packets"] for each in days),
                sum(
                    packets
                    for (gateway_, verdict, _), (packets, _) in counted.items()
                    if gateway_ == name and verdict in ("unregistered", "expired")
                ),
            ]
            return said == [sent] * 3

        assert wait_until(agree, 3 * SECONDS), said


def test_a_cut_over_agrees(site: Site) -> None:
    path = "/v1/gateways/watched/cutover"

    def stands(state: str) -> bool:
        return bool(site.ask("GET", path)["state"] == state)

    assert wait_until(lambda: "watched" in str(site.ask("GET", "/v1/strangers")), 3 * SECONDS)
    for state, step, seconds in (("planned", "at", 3600), ("switched", "until", 1)):
        at = rfc3339(datetime.now(UTC) + timedelta(seconds=seconds))
        site.ask("PUT", path, {"at": at, "override": "a test"})
        try:
            assert wait_until(partial(stands, state), SECONDS)
            told, found = site.ask("GET", path), site.registry_scrape()
            shown = site.command("gateway", "show", "watched")["cutover"]
        finally:
            site.ask("POST", f"{path}/return", {"reason": "a test"})
        assert [shown[each] for each in SAID] == [told[each] for each in SAID]
        name = "peergate_registry_cutover_step_timestamp_seconds"
        moment = datetime.fromisoformat(shown[step]).timestamp()
        assert found.value(name, gateway="watched", state=state) == moment
        left = found.value("peergate_registry_cutover_strangers", gateway="watched")
        assert left == shown["strangers"] == len(told["left"]) == 1


def test_rules_and_dashboard_ask_for_what_there_is(site: Site) -> None:
    """Names, labels, and of the labels whose values are ours the values too."""
    plan = {"at": rfc3339(datetime.now(UTC) + timedelta(hours=1)), "override": "a test"}
    site.ask("PUT", "/v1/gateways/watched/cutover", plan)
    scrapes = [site.router_scrape(), site.registry_scrape()]
    site.ask("POST", "/v1/gateways/watched/cutover/return", {"reason": "a test"})
    assert_good(scrapes)
    labels = {name: found for scrape in scrapes for name, found in scrape.labels().items()}
    values: dict[tuple[str, str], set[str]] = {}
    for scrape in scrapes:
        for name, pairs in scrape.values:
            for label, value in pairs:
                values.setdefault((name, label), set()).add(value)
    asked = [each for expression in expressions() for each in used(expression)]
    assert len(asked) > 40
    for each in asked:
        if each.name == "up":  # Prometheus' own
            continue
        assert each.name in labels, each
        assert each.values.keys() | each.grouped_by <= labels[each.name] | OWN, each
        for label, wanted in each.values.items():
            if each.name.endswith("_cutover_step_timestamp_seconds"):
                continue  # one cut-over is in one state: tests/api/test_metrics.py
            if label not in {"status", "route", *OWN}:
                assert wanted <= values[each.name, label], each
