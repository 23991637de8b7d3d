"""/v1/routers"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import routers
from api.registry.permissions import Permission
from api.routes.conventions import Limit, NameCursor, answer
from api.routes.models import RouterPage, RouterReport, RouterView
from policy.document import Name

router = APIRouter(prefix="/v1/routers", tags=["routers"])
reads = Depends(needs(Permission.READ))
RouterName = Annotated[Name, Path()]


@router.get("", dependencies=[reads], response_model=RouterPage)
def list_routers(registry: RegistryOf, cursor: NameCursor = None, limit: Limit = 100) -> Response:
    """The latest report of every router, by name."""
    with registry.read() as read:
        found = routers.page(read, cursor or "", limit + 1)
    items = [RouterView.of(report, read.head.revision) for report in found[:limit]]
    return answer(RouterPage(items=items, next=items[-1].name if len(found) > limit else None))


@router.get("/{name}", dependencies=[reads], response_model=RouterView)
def show_router(registry: RegistryOf, name: RouterName) -> Response:
    """The latest report of one router."""
    with registry.read() as read:
        report = routers.get(read, name)
    return answer(RouterView.of(report, read.head.revision))


@router.put("/{name}/report", dependencies=[Depends(needs(Permission.REPORT))], status_code=204)
def report(
    registry: RegistryOf,
    caller: CallerOf,
    name: RouterName,
    body: RouterReport,
) -> None:
    """Keeps what a router says of itself. One about another registry is kept out."""
    content = body.model_dump(mode="json")
    routers.report(registry, caller.actor, name, body.registry, body.revision, content)
