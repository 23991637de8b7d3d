"""/v1/gateways/{name}/cutover: planned, switched, confirmed, returned"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import cutover, gateways
from api.registry.core import Write
from api.registry.cutover_return import take_back
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, OnceOf, answer
from api.routes.cutover_models import (
    CutoverDetails,
    CutoverView,
    EndedCutover,
    NewCutover,
    PlannedCutover,
    Return,
)
from api.routes.gateways import GatewayName
from api.routes.strangers import OwnershipOf

router = APIRouter(prefix="/v1/gateways/{name}/cutover", tags=["cut-over"])
reads = Depends(needs(Permission.READ))
cuts_over = Depends(needs(Permission.CUTOVER))


@router.get("", dependencies=[reads], response_model=CutoverDetails)
def show_cutover(registry: RegistryOf, ownership: OwnershipOf, name: GatewayName) -> Response:
    """The latest of this gateway: how far it is, who would be cut off as things stand, and which
    routers have it in force. Its ETag is the gateway's."""
    with registry.read() as read:
        gateway = gateways.get(read, name)
        found = cutover.progress(read, gateway)
    return answer(CutoverDetails.made(found, read.now, ownership), version=gateway.version)


@router.put("", dependencies=[cuts_over], response_model=PlannedCutover)
def plan_cutover(
    registry: RegistryOf,
    caller: CallerOf,
    name: GatewayName,
    expected: ExpectedOf,
    body: NewCutover,
    dry_run: Annotated[
        bool, Query(description="only say whether it could be planned; `If-Match` is not needed")
    ] = False,
) -> Response:
    """Plans that the gateway goes over from monitor to enforce, in one revision: the kernels switch
    by their own clocks, and back again unless it is confirmed in time.

    Refused while active strangers are neither registered nor signed off, unless a reason overrides
    that; for a time in the past; where no router that carries it has it in force, for then nobody
    has seen who knocks; and where it enforces already, or a cut-over is under way. `If-Match` is
    the gateway's ETag.
    """
    if dry_run:
        with registry.read() as state:
            gateway = gateways.get(state, name)
            found = cutover.prepare(state, gateway, body.wanted, caller)
        version, now = gateway.version, state.now
    else:
        with registry.write(caller.actor, f"cut-over of {name} planned") as write:
            found = cutover.plan(write, name, expected, body.wanted, caller)
            version, now = gateways.get(write, name).version, write.now
    view = PlannedCutover(
        **CutoverView.of(found.cutover, now).model_dump(),
        dry_run=dry_run,
        warnings=list(found.warnings),
    )
    return answer(view, version=version)


@router.post("/confirm", dependencies=[cuts_over], response_model=EndedCutover)
def confirm_cutover(
    once: OnceOf, caller: CallerOf, name: GatewayName, expected: ExpectedOf
) -> Response:
    """It enforces for good. Only once it has switched, and before that lapses; one that overrides
    strangers is by the four-eyes rule confirmed by somebody else than planned it. A router that
    has not heard of it by `until` monitors again until it does."""

    def work(write: Write) -> Response:
        done = cutover.confirm(write, name, expected, caller)
        return answer(EndedCutover.made(done, write.now), version=gateways.get(write, name).version)

    return once(f"cut-over of {name} confirmed", None, work)


@router.post("/return", dependencies=[cuts_over], response_model=EndedCutover)
def return_cutover(once: OnceOf, name: GatewayName, expected: ExpectedOf, body: Return) -> Response:
    """Back to monitor, whether it has switched or is confirmed; one that is planned is cancelled.

    It goes past a staged roll-out, unless other changes of the gateway's addresses, services or
    routers wait for it.
    """

    def work(write: Write) -> Response:
        done = take_back(write, name, expected, body.reason)
        return answer(EndedCutover.made(done, write.now), version=gateways.get(write, name).version)

    return once(f"cut-over of {name} returned", body, work)
