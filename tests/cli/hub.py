"""A gateway that monitors, on a router that reports, with strangers that knock there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from tests.api.bodies import report, text
from tests.cli.conftest import Peergate, Running

MINUTE = timedelta(minutes=1)
ADD = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")


@dataclass(frozen=True, slots=True)
class Hub:
    """`hub(...)` runs a command as the registry's admin."""

    peergate: Peergate
    registry: Running
    token: str

    @classmethod
    def made(cls, peergate: Peergate, registry: Running) -> "Hub":
        assert peergate(*ADD).code == 0
        return cls(
            peergate, registry, peergate("token", "add", "edge-1", "--role", "agent").out.strip()
        )

    def report(self) -> None:
        known = self.peergate("status", "--json").json["registry"]
        self._put("report", report(known["registry"], known["revision"], time=text(self.now)))

    def knock(self, sources: Iterable[str], *, minutes: int = 3, dropped: bool = False) -> None:
        now = self.now
        strangers = [
            {
                "gateway": "hub",
                "source": source,
                "service": "udp/51820",
                "first_seen": text(now if dropped else now - 4 * MINUTE),
                "last_seen": text(now),
                "packets": 400,
                "samples": 4,
                "minutes": minutes,
                "dropped": dropped,
            }
            for source in sources
        ]
        known = self.peergate("status", "--json").json["registry"]["registry"]
        body = {
            "registry": known,
            "since": text(now - 5 * MINUTE),
            "until": text(now),
            "gateways": {"hub": {"packets": 1000, "samples": 10}},
            "strangers": strangers,
        }
        self._put("strangers", body)

    @property
    def now(self) -> datetime:
        return self.registry.clock()

    def _put(self, what: str, body: object) -> None:
        url = f"{self.registry.url}/v1/routers/edge-1/{what}"
        headers = {"Authorization": f"Bearer {self.token}"}
        told = httpx.put(url, json=body, headers=headers)
        assert told.status_code == 204, told.text
