"""The registry in a few numbers."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from api.records import State
from api.registry.core import Read
from api.store import figures, gateways, routers


@dataclass(frozen=True, slots=True)
class Status:
    gateways: int
    peers: dict[State, int]
    routers: int


def status(read: Read) -> Status:
    return Status(
        gateways=gateways.count(read.connection),
        peers=_by_state(figures.peer_counts(read.connection, read.now, ()).states),
        routers=routers.count(read.connection),
    )


def _by_state(apart: dict[str, int]) -> dict[State, int]:
    """`approved` are also the active and the expired ones, and those that are not valid yet."""
    approved = apart["active"] + apart["future"] + apart["expired"]
    return {state: approved if state is State.APPROVED else apart[state] for state in State}


def version() -> str:
    """Of peergate, as it runs here."""
    try:
        return version_of("peergate")
    except PackageNotFoundError:
        return "not installed"
