"""/v1/gateways"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import cutovers, gateways
from api.registry.core import Expected, Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, Limit, NameCursor, NamePrefix, OnceOf, answer
from api.routes.gateway_views import shown, views
from api.routes.models import GatewayPage, GatewayPatch, GatewayView
from api.routes.previews import DryRun, GatewayPreview, preview_gateway
from policy.document import GatewaySpec, Mode, Name

router = APIRouter(prefix="/v1/gateways", tags=["gateways"])
reads = Depends(needs(Permission.READ))
writes = Depends(needs(Permission.GATEWAYS))
GatewayName = Annotated[Name, Path()]


@router.get("", dependencies=[reads], response_model=GatewayPage)
def list_gateways(
    registry: RegistryOf,
    name_prefix: NamePrefix = None,
    mode: Annotated[Mode | None, Query()] = None,
    cursor: NameCursor = None,
    limit: Limit = 100,
) -> Response:
    """All gateways, by name."""
    with registry.read() as read:
        found = gateways.page(read, cursor or "", limit + 1, prefix=name_prefix or "", mode=mode)
        items = views(read, found[:limit])
    return answer(GatewayPage(items=items, next=items[-1].name if len(found) > limit else None))


@router.post(
    "",
    dependencies=[writes],
    response_model=GatewayView,
    status_code=201,
    responses={200: {"model": GatewayPreview, "description": "Of a dry run"}},
)
def add_gateway(once: OnceOf, body: GatewaySpec, dry_run: DryRun = False) -> Response:
    """A new gateway; it takes part in the allowlist at once."""
    if dry_run:
        return preview_gateway(
            once.registry, once.caller, Expected(), lambda write, _: gateways.create(write, body)
        )

    def work(write: Write) -> Response:
        gateway = gateways.create(write, body)
        response = answer(shown(write, gateway), 201, gateway.version)
        response.headers["Location"] = f"/v1/gateways/{gateway.name}"
        return response

    return once(f"gateway {body.name} added", body, work)


@router.get("/{name}", dependencies=[reads], response_model=GatewayView)
def show_gateway(registry: RegistryOf, name: GatewayName) -> Response:
    """One gateway."""
    with registry.read() as read:
        gateway = gateways.get(read, name)
        view = shown(read, gateway)
    return answer(view, version=gateway.version)


@router.patch("/{name}", dependencies=[writes], response_model=GatewayView | GatewayPreview)
def change_gateway(
    registry: RegistryOf,
    caller: CallerOf,
    name: GatewayName,
    expected: ExpectedOf,
    body: GatewayPatch,
    dry_run: DryRun = False,
) -> Response:
    """Changes the fields that are sent; null takes a time away."""
    fields = body.model_dump(mode="json", exclude_unset=True)
    if dry_run:
        return preview_gateway(
            registry,
            caller,
            expected,
            lambda write, expected: gateways.change(write, name, expected, fields),
        )
    with registry.write(caller.actor, f"gateway {name} changed") as write:
        before = gateways.get(write, name)
        gateway = gateways.change(write, name, expected, fields)
        view = shown(write, gateway)
        if gateway.spec.routers != before.spec.routers:
            view.warnings += cutovers.moved(write, gateway)
    return answer(view, version=gateway.version)


@router.delete(
    "/{name}",
    dependencies=[writes],
    status_code=204,
    responses={200: {"model": GatewayPreview, "description": "Of a dry run"}},
)
def remove_gateway(
    registry: RegistryOf,
    caller: CallerOf,
    name: GatewayName,
    expected: ExpectedOf,
    dry_run: DryRun = False,
) -> Response:
    """Refused while peers are pending or approved there."""
    if dry_run:
        return preview_gateway(
            registry,
            caller,
            expected,
            lambda write, expected: gateways.remove(write, name, expected),
        )
    with registry.write(caller.actor, f"gateway {name} removed") as write:
        gateways.remove(write, name, expected)
    return Response(status_code=204)
