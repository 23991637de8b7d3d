"""What a change would do, told before it is made."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.records import Gateway, Peer, Role
from api.registry import carriage, impact
from api.registry.core import Expected, Registry, Write
from api.registry.permissions import Caller
from api.routes import gateway_views
from api.routes.carriage_models import CarriersView
from api.routes.conventions import answer
from api.routes.impact_models import ImpactView
from api.routes.models import GatewayView, PeerView
from api.routes.peer_views import shown

DryRun = Annotated[
    bool,
    Query(
        description="change nothing, and say who would be cut off or let in; `If-Match` is not "
        "needed"
    ),
]


class Preview(BaseModel):
    dry_run: Literal[True] = True
    peer: PeerView = Field(description="as it would be")
    impact: ImpactView


class GatewayPreview(BaseModel):
    dry_run: Literal[True] = True
    gateway: GatewayView | None = Field(description="as it would be; null: it would be gone")
    routers: CarriersView = Field(description="which would begin or cease to carry it")
    impact: ImpactView


def preview(
    registry: Registry,
    caller: Caller,
    expected: Expected,
    work: Callable[[Write, Expected], Peer],
) -> Response:
    """Of one peer. Refused where the change itself would be."""
    with registry.trial(caller.actor) as write:
        view = shown(write, work(write, for_any(expected)))
    return answer(Preview(peer=view, impact=_impact(registry, caller, write)))


def preview_gateway(
    registry: Registry,
    caller: Caller,
    expected: Expected,
    work: Callable[[Write, Expected], Gateway | None],
) -> Response:
    """Of one gateway. Refused where the change itself would be."""
    with registry.trial(caller.actor) as write:
        gateway = work(write, for_any(expected))
        view = None if gateway is None else gateway_views.shown(write, gateway)
    assert write.foreseen is not None
    before, after = next(iter(write.foreseen.gateways), (gateway, gateway))
    with registry.read() as read:
        routers = CarriersView.of(carriage.carriers(read, before, after))
    would = _impact(registry, caller, write)
    return answer(GatewayPreview(gateway=view, routers=routers, impact=would))


def for_any(expected: Expected) -> Expected:
    """A preview is of the version there is, unless its sender says for which."""
    return Expected(any_version=True) if expected == Expected() else expected


def _impact(registry: Registry, caller: Caller, trial: Write) -> ImpactView:
    assert trial.foreseen is not None
    owner_at = caller.origin.address if caller.role is Role.OWNER else None
    with registry.read() as read:
        return ImpactView.of(impact.of(read, trial.foreseen, owner_at))
