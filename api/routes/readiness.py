"""/v1/gateways/{name}/readiness"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.auth import RegistryOf, needs
from api.cutover_records import Activity
from api.registry.permissions import Permission
from api.registry.readiness import readiness
from api.routes.conventions import answer
from api.routes.readiness_models import ReadinessView
from api.routes.strangers import OwnershipOf
from api.stranger_records import DAYS
from policy.document import Moment, Name

router = APIRouter(prefix="/v1/gateways", tags=["cut-over"])


@router.get(
    "/{name}/readiness",
    dependencies=[Depends(needs(Permission.READ))],
    response_model=ReadinessView,
)
def show_readiness(
    registry: RegistryOf,
    ownership: OwnershipOf,
    name: Annotated[Name, Path()],
    at: Annotated[
        Moment | None, Query(description="as if it enforced from then on; now if it is not said")
    ] = None,
    days: Annotated[
        int, Query(ge=1, le=DAYS, description="strangers seen in the last days are active")
    ] = 7,
    min_minutes: Annotated[
        int, Query(ge=1, le=100_000, description="and if they were seen in so many minutes")
    ] = 1,
) -> Response:
    """Whether the gateway may go over from monitor to enforce: which peers were seen, which
    strangers would be cut off, how its routers stand, and why a cut-over would be refused."""
    with registry.read() as read:
        found = readiness(read, name, at, Activity(days, min_minutes))
    return answer(ReadinessView.of(found, ownership), version=found.gateway.version)
