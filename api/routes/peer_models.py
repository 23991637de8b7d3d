"""Bodies and answers of a registration's life beyond its content."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from api.records import Bounds, Json, Proposal
from policy.document import SOURCES_PER_PEER, Document, PeerSpec, Source, Text, refusal
from policy.prefixes import SHORTEST_SOURCE

TermsVersion = Annotated[Text, Field(max_length=63, examples=["2026-11"])]


class BoundsSpec(Document):
    """Within what a peer's owner moves its sources: see `/v1/peers/{id}/here`."""

    sources: Annotated[int, Field(ge=1, le=SOURCES_PER_PEER)] = Field(
        default=2, description="so many at most"
    )
    ipv4_length: Annotated[int, Field(ge=SHORTEST_SOURCE[4], le=32)] = Field(
        default=32, description="an IPv4 source is no wider than that"
    )
    ipv6_length: Annotated[int, Field(ge=SHORTEST_SOURCE[6], le=128)] = Field(
        default=64, description="an IPv6 source is no wider than that"
    )
    here_ipv6_length: Annotated[int, Field(ge=SHORTEST_SOURCE[6], le=128)] = Field(
        default=64, description="how much of an IPv6 address that calls becomes a source"
    )
    interval_seconds: Annotated[int, Field(ge=0, le=86_400 * 366)] = Field(
        default=60, description="sources are moved no more often"
    )
    within: Annotated[tuple[Source, ...], Field(max_length=256)] = Field(
        default=(), description="sources are inside one of these; none is anywhere"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.here_ipv6_length < self.ipv6_length:
            raise refusal(
                "here_ipv6_length",
                self.here_ipv6_length,
                f"this is wider than an IPv6 source may be: /{self.ipv6_length}",
            )
        return self

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.model_dump(mode="json"))


class BoundsView(BaseModel):
    sources: int
    ipv4_length: int
    ipv6_length: int
    here_ipv6_length: int
    interval_seconds: int
    within: list[str]


class PeerRequest(PeerSpec):
    terms: TermsVersion | None = Field(
        default=None,
        description="the version of the terms of use that you have read and keep to; needed "
        "where the rules have terms",
    )
    bounds: BoundsSpec | None = None


class ProposalView(BaseModel):
    """A change that waits for an approver, or was declined."""

    fields: dict[str, Json]
    reason: str | None
    proposed: datetime
    proposed_by: str
    declined: str | None = Field(description="why it was declined")
    declined_by: str | None

    @classmethod
    def of(cls, proposal: Proposal) -> Self:
        return cls(
            fields=proposal.fields,
            reason=proposal.reason,
            proposed=proposal.proposed,
            proposed_by=proposal.proposed_by,
            declined=proposal.declined,
            declined_by=proposal.declined_by,
        )
