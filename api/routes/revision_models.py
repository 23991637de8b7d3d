"""Bodies and answers of /v1/revisions, /v1/rollback and /v1/rollout."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from api.records import Revision
from api.registry.rollback_plan import Plan
from api.registry.rollout import Canary, Progress
from api.routes.impact_models import ImpactView
from api.routes.models import DifferenceView
from policy.document import Document
from policy.labels import Labels

# The rest is counted.
_SHOWN = 1_000

Number = Annotated[int, Field(ge=0, le=2**53, strict=True)]


class RevisionView(BaseModel):
    revision: int
    time: datetime
    author: str
    cause: str

    @classmethod
    def of(cls, revision: Revision) -> Self:
        return cls.model_validate(revision, from_attributes=True)


class KeptRevision(RevisionView):
    kept: bool = Field(description="whether the registry can go back to it")


class RevisionPage(BaseModel):
    items: list[KeptRevision]
    next: str | None


class Rollback(Document):
    to_revision: Annotated[Number, Field(examples=[11])]


class RolledBack(BaseModel):
    dry_run: bool
    revision: int = Field(description="the one that this made; in a dry run the one there is")
    total: int = Field(description="how many changes it is")
    changes: list[DifferenceView] = Field(description="the first thousand of them")
    impact: ImpactView | None = Field(
        description="of a dry run: what it would do to sources; at the canaries, where a staged "
        "roll-out is set"
    )
    impact_on_rest: ImpactView | None = Field(
        description="of an urgent one with a staged roll-out: to sources at the other routers, "
        "which get what waits with it"
    )

    @classmethod
    def of(
        cls,
        plan: Plan,
        revision: int,
        impact: ImpactView | None = None,
        on_rest: ImpactView | None = None,
    ) -> Self:
        """With the impact of a dry run."""
        changes = [DifferenceView.of(each) for each in plan.differences[:_SHOWN]]
        return cls(
            dry_run=impact is not None,
            revision=revision,
            total=plan.count,
            changes=changes,
            impact=impact,
            impact_on_rest=on_rest,
        )


class Rule(Document):
    """`canaries`: the labels of the routers that have every revision first. `hold`: seconds until
    a revision goes on to the rest by itself; null waits for a confirmation."""

    canaries: Labels
    hold: Annotated[int, Field(ge=1, le=30 * 86400, strict=True)] | None = None


class Confirmation(Document):
    revision: Annotated[Number, Field(description="the last one that was seen to be good")]


class ReleasePreview(BaseModel):
    """Of a dry run: what the routers that are no canaries would have then."""

    dry_run: Literal[True] = True
    revision: int = Field(description="up to which it would be released")
    impact: ImpactView = Field(description="to sources at these routers")


class CanaryView(BaseModel):
    name: str
    revision: int | None = Field(description="that it has in force")
    trouble: str | None

    @classmethod
    def of(cls, canary: Canary) -> Self:
        return cls(name=canary.router.name, revision=canary.revision, trouble=canary.trouble)


class RolloutView(BaseModel):
    canaries: dict[str, str] | None = Field(description="null: there is no staged roll-out")
    hold: int | None
    revision: int = Field(description="that canaries have, and all routers if there are none")
    released: int = Field(description="the revision whose state the rest has")
    pending: list[RevisionView] = Field(description="what waits for a release, the first of it")
    due: datetime | None = Field(description="when the first of it goes on by itself")
    stopped: str | None = Field(description="why it does not")
    routers: list[CanaryView] = Field(description="the canaries, and how they bear it")

    @classmethod
    def of(cls, found: Progress, revision: int) -> Self:
        rule = found.rollout
        return cls(
            canaries=None if rule is None else rule.canaries,
            hold=None if rule is None else rule.hold,
            revision=revision,
            released=revision if rule is None or not found.pending else rule.released,
            pending=[RevisionView.of(each) for each in found.pending],
            due=found.due,
            stopped=found.stopped,
            routers=[CanaryView.of(each) for each in found.canaries],
        )
