"""A gateway that goes over, on a router that reports, at a registry whose clock the test moves."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from api.records import Role
from api.registry.cutover_watch import keep_time
from tests.api.bodies import NOW, report, text
from tests.api.conftest import Service
from tests.api.streams import parsed

ANY = {"If-Match": "*"}
MINUTE = timedelta(minutes=1)
AT = NOW + timedelta(hours=4)
UNTIL = AT + 15 * MINUTE
HUB = "/v1/gateways/hub"


@dataclass(frozen=True, slots=True)
class Hub:
    """An approver plans."""

    service: Service

    @classmethod
    def made(cls, service: Service) -> "Hub":
        """It is there, and its router, for longer than strangers are looked back at."""
        service.clock.now = NOW - timedelta(days=8)
        assert service.admin.delete("/v1/routers/edge-1", headers=ANY).status_code == 204
        service.clients[Role.AGENT] = service.add_router("edge-1")
        service.add_gateway(mode="monitor")
        service.clock.now = NOW
        hub = cls(service)
        hub.report()
        return hub

    def report(self, **fields: object) -> None:
        registry = self.service.admin.get("/v1/status").json()["registry"]
        said = report(registry, self.service.revision, **fields)
        told = self.service.agent.put("/v1/routers/edge-1/report", json=said)
        assert told.status_code == 204, told.text

    def try_to_plan(self, **fields: object) -> httpx.Response:
        """`dry_run` among the fields asks for one."""
        query = {"dry_run": str(fields.pop("dry_run", False)).lower()}
        body = {"at": text(AT)} | fields
        approver = self.service.clients[Role.APPROVER]
        return approver.put(f"{HUB}/cutover", json=body, params=query, headers=ANY)

    def plan(self, **fields: object) -> dict[str, Any]:
        planned = self.try_to_plan(**fields)
        assert planned.status_code == 200, planned.text
        view: dict[str, Any] = planned.json()
        return view

    def act(self, action: str, body: object = None, role: Role = Role.APPROVER) -> httpx.Response:
        client = self.service.clients[role]
        return client.post(f"{HUB}/cutover/{action}", json=body, headers=ANY)

    def go_to(self, moment: datetime) -> None:
        """Time passes, and the registry notes what that makes of its cut-overs."""
        self.service.clock.now = moment
        keep_time(self.service.app.state.registry)

    def switch(self, **fields: object) -> None:
        self.plan(**fields)
        self.go_to(AT)

    @property
    def gateway(self) -> dict[str, Any]:
        view: dict[str, Any] = self.service.admin.get(HUB).json()
        return view

    @property
    def window(self) -> tuple[str, str | None, str | None]:
        """As routers have it."""
        (hub,) = self.service.agent.get("/v1/allowlist").json()["gateways"]
        return hub["mode"], hub["enforce_from"], hub["enforce_until"]

    @property
    def cutover(self) -> dict[str, Any]:
        shown = self.service.admin.get(f"{HUB}/cutover")
        assert shown.status_code == 200, shown.text
        view: dict[str, Any] = shown.json()
        listed = self.gateway["cutover"]
        assert listed == {name: view[name] for name in listed}
        return view

    @property
    def missing(self) -> list[str]:
        """Routers that do not have its latest step."""
        return [each["name"] for each in self.cutover["routers"] if not each["has_it"]]

    @property
    def state(self) -> str:
        state: str = self.cutover["state"]
        return state

    def trail(self) -> list[tuple[str, str]]:
        """Action and author, the first first."""
        items = self.service.admin.get("/v1/audit?subject=cutover/hub").json()["items"]
        return [(each["action"], each["actor"]["name"]) for each in reversed(items)]

    def events(self) -> list[dict[str, Any]]:
        told = self.service.admin.get("/v1/events?follow=false").text
        return [
            event for event in parsed(told.splitlines()) if event["type"].startswith("cutover.")
        ]

    def authors(self) -> list[str]:
        return [event["author"] for event in self.events()]

    def told(self) -> list[str]:
        return [event["type"].partition(".")[2] for event in self.events()]


def gone_over(service: Service) -> None:
    """A gateway `quiet` that is ready, and one that switched a moment ago, `switched`."""
    for number, name in enumerate(("quiet", "switched"), 10):
        service.add_gateway(name, addresses=[f"198.51.100.{number}"], mode="monitor")
    Hub(service).report(counters={"quiet": {}, "switched": {}})
    plan = {"at": text(NOW + MINUTE)}
    planned = service.admin.put("/v1/gateways/switched/cutover", json=plan, headers=ANY)
    assert planned.status_code == 200, planned.text
    Hub(service).go_to(NOW + MINUTE)


MONITOR = ("monitor", None, None)
PLANNED = ("enforce", text(AT), text(UNTIL))
FOR_GOOD = ("enforce", None, None)
