"""The answer of /v1/gateways/{name}/readiness."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from api.ownership import Ownership
from api.records import Peer
from api.registry.carriers import Carrier
from api.registry.readiness import Readiness
from api.routes.stranger_models import StrangerView


class PeerLine(BaseModel):
    id: int
    name: str
    owner: str
    contact: str
    valid_until: datetime | None
    last_seen: datetime | None

    @classmethod
    def of(cls, peer: Peer, seen: datetime | None = None) -> Self:
        return cls(
            id=peer.id,
            name=peer.name,
            owner=peer.owner,
            contact=peer.contact,
            valid_until=peer.valid_until,
            last_seen=seen,
        )


class PeersReady(BaseModel):
    """Numbers at the moment of the switch; of each kind a hundred peers at most are named."""

    active: int = Field(description="that pass then")
    seen: int = Field(description="of these, those that a router has ever seen")
    seen_lately: int = Field(description="of these, those seen in the last `days`")
    later: int = Field(description="approved, but valid from later on")
    pending: int
    ended: int
    never_seen: list[PeerLine] = Field(description="active: perhaps their sources are wrong")
    waiting: list[PeerLine] = Field(description="pending: nobody has decided on them")
    ended_lately: list[PeerLine] = Field(description="ended by then, but seen in the last `days`")


class StrangersReady(BaseModel):
    sources: int = Field(
        description="that are active, and neither registered nor signed off then; counted up to "
        "1,000. Whose registration is pending is among them"
    )
    first: list[StrangerView] = Field(description="the most persistent; a hundred at most")


class RouterReady(BaseModel):
    name: str
    stage: Literal["canary", "rest"] | None
    received: datetime | None = Field(description="when it reported last")
    revision: int | None
    lag: int | None
    attached: list[str] = Field(description="interfaces on which packets are looked at")
    warnings: list[str]
    would_drop: dict[str, int] = Field(
        description="by verdict, packets at this gateway that passed and would have been dropped, "
        "since its counters began"
    )

    @classmethod
    def of(cls, carrier: Carrier) -> Self:
        standing = carrier.standing
        report = standing.report
        interfaces = [] if report is None else report.content["interfaces"]
        return cls.model_validate(
            {
                "name": carrier.name,
                "stage": standing.stage,
                "received": None if report is None else report.received,
                "revision": None if report is None else report.revision,
                "lag": standing.lag,
                "attached": [each["name"] for each in interfaces if each["attached"]],
                "warnings": list(standing.warnings),
                "would_drop": carrier.would_drop,
            }
        )


class Obstacle(BaseModel):
    type: str = Field(examples=["strangers"])
    detail: str


class ReadinessView(BaseModel):
    gateway: str
    at: datetime
    days: int
    min_minutes: int
    ready: bool
    against: list[Obstacle] = Field(description="why a cut-over would be refused")
    warnings: list[str] = Field(
        description="what is not seen in this: strangers that nobody may have seen, whom "
        "`days` and `min_minutes` leave out"
    )
    mode: Literal["monitor", "enforce"] = Field(description="in force now")
    then: Literal["enforce"] = Field(
        description="from `at` on: strangers, and whatever cannot be judged, is dropped"
    )
    peers: PeersReady
    strangers: StrangersReady
    routers: list[RouterReady] = Field(description="that carry it, by name")

    @classmethod
    def of(cls, found: Readiness, ownership: Ownership) -> Self:
        numbers = found.attendance
        return cls(
            gateway=found.gateway.name,
            at=found.at,
            days=found.activity.days,
            min_minutes=found.activity.min_minutes,
            ready=not found.against,
            against=[Obstacle(type=each.kind, detail=str(each)) for each in found.against],
            warnings=list(found.warnings),
            mode=found.mode,
            then="enforce",
            peers=PeersReady(
                active=numbers.active,
                seen=numbers.seen,
                seen_lately=numbers.lately,
                later=numbers.later,
                pending=numbers.pending,
                ended=numbers.ended,
                never_seen=[PeerLine.of(peer) for peer in found.never_seen],
                waiting=[PeerLine.of(peer) for peer in found.pending],
                ended_lately=[PeerLine.of(*each) for each in found.ended_lately],
            ),
            strangers=StrangersReady(
                sources=found.unsettled.sources,
                first=[
                    StrangerView.of(each, ownership.find(each.stranger.source))
                    for each in found.unsettled.first
                ],
            ),
            routers=[RouterReady.of(carrier) for carrier in found.carriers],
        )
