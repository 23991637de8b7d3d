"""/v1/gateways/{name}/rates: packets over time"""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.auth import RegistryOf, needs
from api.rate_records import Count, Rates
from api.registry import rates
from api.registry.permissions import Permission
from api.routes.conventions import answer
from api.routes.gateways import GatewayName
from api.routes.router_models import Count as CountView

router = APIRouter(prefix="/v1/gateways/{name}/rates", tags=["gateways"])


class Series(BaseModel):
    """A number for each step."""

    packets: list[int]
    bytes: list[int]


class RatesView(BaseModel):
    start: datetime = Field(description="of the first step")
    seconds: int = Field(description="of each step; the last one is not over")
    counters: dict[str, Series] = Field(
        description="by verdict and action, as in `unregistered_drop`: what came in each step, at "
        "all routers that carry the gateway"
    )
    total: dict[str, CountView] = Field(
        description="what these routers counted in all, also before they first reported"
    )

    @classmethod
    def of(cls, found: Rates) -> Self:
        names = dict.fromkeys(name for step in found.steps for name in step)
        nothing = Count()
        return cls(
            start=found.start,
            seconds=found.seconds,
            counters={
                name: Series(
                    packets=[step.get(name, nothing).packets for step in found.steps],
                    bytes=[step.get(name, nothing).octets for step in found.steps],
                )
                for name in sorted(names)
            },
            total={
                name: CountView(packets=count.packets, bytes=count.octets)
                for name, count in sorted(found.total.items())
            },
        )


@router.get("", dependencies=[Depends(needs(Permission.READ))], response_model=RatesView)
def show_rates(
    registry: RegistryOf,
    name: GatewayName,
    seconds: Annotated[
        Literal["60", "600"],
        Query(description="of a step: 60 for the last 3 hours, 600 for the last day"),
    ] = "60",
) -> Response:
    """What came to a gateway over time, by what its routers report: as fine as they do."""
    with registry.read() as read:
        return answer(RatesView.of(rates.of(read, name, int(seconds))))
