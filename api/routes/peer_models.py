"""Bodies and answers of a registration's life beyond its content."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from api.records import Json, Proposal
from policy.document import PolicyPeer, Text

TermsVersion = Annotated[Text, Field(max_length=63, examples=["2026-11"])]


class BoundsView(BaseModel):
    sources: int
    ipv4_length: int
    ipv6_length: int
    here_ipv6_length: int
    interval_seconds: int
    within: list[str]


class PeerRequest(PolicyPeer):
    terms: TermsVersion | None = Field(
        default=None,
        description="the version of the terms of use that you have read and keep to; needed "
        "where the rules have terms",
    )


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
