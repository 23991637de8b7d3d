"""One that follows as an agent does: what it holds, made of changes alone."""

from typing import Any

from tests.api.client import Client


class Follower:
    """Starts with a snapshot. What it is told must fit what it holds."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.gateways: dict[str, Any] = {}
        self.peers: dict[int, Any] = {}
        self.revision = 0
        self.start()

    def snapshot(self) -> dict[str, Any]:
        response = self.client.get("/v1/allowlist")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def start(self) -> None:
        found = self.snapshot()
        self.gateways, self.peers = _parts(found)
        self.revision = found["revision"]

    def follow(self) -> dict[str, Any]:
        """The changes, which are made to what is held."""
        asked = {"after": self.revision}
        response = self.client.get("/v1/allowlist/changes", params=asked)
        assert response.status_code == 200, response.text
        changes: dict[str, Any] = response.json()
        assert changes["after"] == self.revision
        _change(self.gateways, changes["gateways"])
        _change(self.peers, {int(n): p for n, p in changes["peers"].items()})
        self.revision = changes["revision"]
        strange = {p["gateway"] for p in self.peers.values()} - self.gateways.keys()
        assert strange == set(), "an agent refuses peers without their gateway"
        return changes

    def check(self) -> None:
        """What is held is what a snapshot says."""
        found = self.snapshot()
        assert (self.gateways, self.peers) == _parts(found)
        assert self.revision == found["revision"]


def _parts(snapshot: dict[str, Any]) -> tuple[dict[str, Any], dict[int, Any]]:
    return (
        {each["name"]: each for each in snapshot["gateways"]},
        {each["id"]: each for each in snapshot["peers"]},
    )


def _change(held: dict[Any, Any], changed: dict[Any, Any]) -> None:
    for key, value in changed.items():
        held.pop(key, None)
        if value is not None:
            held[key] = value
