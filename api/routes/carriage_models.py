"""Which routers would carry which gateways: answers of dry runs."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from api.registry.carriage import Carried, Carriers, Relabelled
from api.routes.impact_models import ImpactView

# The rest is counted.
_SHOWN = 1_000
Stage = Literal["canary", "rest"] | None


class CarriersView(BaseModel):
    """By their labels, and once it is released to all: a router that begins to carry a gateway lets
    its peers pass and judges everybody else; one that ceases to lets everybody pass."""

    gain: list[str] = Field(description="routers that would begin to carry it, a thousand at most")
    lose: list[str] = Field(description="routers that would cease to, a thousand at most")
    gaining: int = Field(description="how many begin")
    losing: int = Field(description="how many cease")
    peers: int = Field(description="at the gateway, that pass now or later")

    @classmethod
    def of(cls, found: Carriers) -> Self:
        return cls(
            gain=list(found.gain[:_SHOWN]),
            lose=list(found.lose[:_SHOWN]),
            gaining=len(found.gain),
            losing=len(found.lose),
            peers=found.peers,
        )


class CarriedView(BaseModel):
    gateway: str
    mode: Literal["monitor", "enforce"]
    peers: int = Field(description="at the gateway, that pass now or later")

    @classmethod
    def of(cls, found: Carried) -> Self:
        gateway = found.gateway
        return cls(gateway=gateway.name, mode=gateway.spec.mode, peers=found.peers)


class RouterPreview(BaseModel):
    dry_run: Literal[True] = True
    name: str
    labels: dict[str, str] = Field(description="as they would be")
    gains: list[CarriedView] = Field(description="gateways that it would begin to carry")
    loses: list[CarriedView] = Field(
        description="gateways that it would cease to carry: whoever talks to them through this "
        "router passes then"
    )
    stage_before: Stage = Field(description="in a staged roll-out")
    stage: Stage = Field(description="as it would be")
    impact: ImpactView = Field(
        description="where its stage changes: what that does at the gateways that it carries both "
        "before and afterwards, for what waits comes or goes"
    )

    @classmethod
    def of(cls, found: Relabelled, impact: ImpactView) -> Self:
        return cls.model_validate(
            {
                "name": found.router.name,
                "labels": found.router.labels,
                "gains": [CarriedView.of(each) for each in found.gains],
                "loses": [CarriedView.of(each) for each in found.loses],
                "stage_before": found.was,
                "stage": found.stage,
                "impact": impact,
            }
        )
