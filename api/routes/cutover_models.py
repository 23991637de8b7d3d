"""Bodies and answers of /v1/gateways/{name}/cutover."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import BaseModel, Field

from api.cutover_records import Activity, Cutover, CutoverState
from api.ownership import Ownership
from api.registry.cutover import Ended, Progress, Wanted
from api.registry.readiness import COUNTED
from api.routes.stranger_models import StrangerView
from api.stranger_records import DAYS
from policy.document import Document, Moment, Text

# Of who is named, so many.
_SHOWN = 100


class NewCutover(Document):
    """When the gateway goes over to enforce, and what takes it back."""

    at: Moment
    confirm_within: Annotated[int, Field(ge=1, le=7 * 86_400)] = Field(
        default=900, description="seconds; not confirmed by then, it monitors again"
    )
    most_dropped_sources: Annotated[int, Field(ge=0, le=COUNTED - 1)] = Field(
        default=10,
        description="if more sources that passed until then are dropped, it is taken back; 0: "
        "never by itself",
    )
    days: Annotated[int, Field(ge=1, le=DAYS)] = Field(
        default=7, description="strangers seen in the last days are active"
    )
    min_minutes: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1, description="and if they were seen in so many minutes"
    )
    override: Text | None = Field(
        default=None,
        description="why it goes over although active strangers are neither registered nor signed "
        "off",
        examples=["They were told in June"],
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            at=self.at,
            confirm_within=timedelta(seconds=self.confirm_within),
            most_dropped_sources=self.most_dropped_sources,
            activity=Activity(self.days, self.min_minutes),
            override=self.override,
        )


class CutoverView(BaseModel):
    state: CutoverState = Field(
        description="planned; switched: it enforces, and waits for a confirmation; confirmed; "
        "lapsed: nobody confirmed it; returned: taken back; cancelled: before it switched"
    )
    at: datetime = Field(description="from then on the kernels enforce")
    until: datetime = Field(description="until then, unless it is confirmed")
    seconds: int | None = Field(description="to the next of these two; null: it is over")
    most_dropped_sources: int
    days: int
    min_minutes: int
    override: str | None = Field(description="why it goes over in spite of its strangers")
    strangers: int = Field(
        description="active sources neither registered nor signed off, as they were last counted: "
        "while it is under way again and again, up to 1,000"
    )
    revision: int = Field(
        description="the one that tells routers: of the plan, by which they switch by themselves, "
        "or of its confirmation or return"
    )
    planned: datetime
    planned_by: str
    ended: datetime | None
    ended_by: str | None
    reason: str | None = Field(description="why it ended like that")

    @classmethod
    def of(cls, found: Cutover, now: datetime) -> Self:
        following = found.next_step(now)
        return cls(
            state=found.shown(now),
            at=found.at,
            until=found.until,
            seconds=None if following is None else round((following - now).total_seconds()),
            most_dropped_sources=found.most_dropped_sources,
            days=found.activity.days,
            min_minutes=found.activity.min_minutes,
            override=found.override,
            strangers=found.strangers,
            revision=found.revision,
            planned=found.planned,
            planned_by=found.planned_by,
            ended=found.ended,
            ended_by=found.ended_by,
            reason=found.reason,
        )


class PlannedCutover(CutoverView):
    dry_run: bool
    warnings: list[str] = Field(description="what may keep it from going as it is planned")


class Return(Document):
    reason: Text | None = Field(default=None, examples=["A branch office cannot connect"])


class EndedCutover(CutoverView):
    without_it: list[str] = Field(
        description="routers that carry the gateway, by name: they are to hear of this now. Which "
        "of them have, `GET` shows"
    )

    @classmethod
    def made(cls, found: Ended, now: datetime) -> Self:
        view = CutoverView.of(found.cutover, now)
        return cls(**view.model_dump(), without_it=list(found.without_it))


class CutoverRouter(BaseModel):
    name: str
    has_it: bool = Field(
        description="by its latest report the plan, or else its confirmation or return, is in "
        "force there"
    )
    warnings: list[str]


class CutoverDetails(CutoverView):
    left: list[StrangerView] = Field(
        description="active strangers, neither registered nor signed off by now; a hundred at most"
    )
    dropped_sources: int = Field(
        description="sources among these that passed before the switch and are dropped since; more "
        "than `most_dropped_sources` take it back"
    )
    dropped: list[str] = Field(description="a hundred of them at most")
    routers: list[CutoverRouter] = Field(description="that carry the gateway, by name")

    @classmethod
    def made(cls, found: Progress, now: datetime, ownership: Ownership) -> Self:
        return cls(
            **CutoverView.of(found.cutover, now).model_dump(),
            left=[
                StrangerView.of(each, ownership.find(each.stranger.source))
                for each in found.left.first[:_SHOWN]
            ],
            dropped_sources=found.dropped.sources,
            dropped=list(dict.fromkeys(str(e.stranger.source) for e in found.dropped.first)),
            routers=[
                CutoverRouter(
                    name=carrier.name,
                    has_it=carrier.name not in found.without_it,
                    warnings=list(carrier.standing.warnings),
                )
                for carrier in found.carriers
            ],
        )
