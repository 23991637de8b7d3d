"""The registry in a few numbers."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from api.records import State
from api.registry.core import Read
from api.store import gateways, peers, routers


@dataclass(frozen=True, slots=True)
class Status:
    gateways: int
    peers: dict[State, int]
    routers: int


def status(read: Read) -> Status:
    return Status(
        gateways=gateways.count(read.connection),
        peers=peers.count(read.connection, tuple(State), read.now),
        routers=routers.count(read.connection),
    )


def version() -> str:
    """Of peergate, as it runs here."""
    try:
        return version_of("peergate")
    except PackageNotFoundError:
        return "not installed"
