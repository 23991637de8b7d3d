"""/v1/routers/{name}/seen"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from api.auth import CallerOf, RegistryOf, needs
from api.registry import routers, sightings
from api.registry.permissions import Permission
from policy.document import Document, Moment, Name

router = APIRouter(prefix="/v1/routers", tags=["routers"])
_Id = Annotated[int, Field(ge=1, le=4294967295)]


class Sighting(Document):
    """Peers that were last seen about then: routers know it to some twenty minutes."""

    at: Moment
    peers: Annotated[tuple[_Id, ...], Field(max_length=20_000)]


class Sightings(Document):
    registry: Annotated[str, Field(min_length=1, max_length=64)]
    seen: Annotated[tuple[Sighting, ...], Field(max_length=256)]


@router.put("/{name}/seen", dependencies=[Depends(needs(Permission.REPORT))], status_code=204)
def report_seen(
    registry: RegistryOf, caller: CallerOf, name: Annotated[Name, Path()], body: Sightings
) -> None:
    """Of which peers packets came since the router last said so. The newest word of all routers
    is a peer's `last_seen`. Of peers at gateways that the router does not carry, nothing is noted.
    """
    routers.seen_by(caller, name)
    by_time: dict[Moment, list[int]] = {}
    for each in body.seen:
        by_time.setdefault(each.at, []).extend(each.peers)
    sightings.note(registry, name, body.registry, by_time)
