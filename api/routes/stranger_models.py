"""Bodies and answers about strangers and sign-offs."""

from datetime import date, datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from api.ownership import Owned
from api.records import State
from api.registry.strangers import Known, Summary
from api.routes.peer_models import TermsVersion
from api.stranger_records import SignOff
from policy.document import Contact, Document, Moment, Name, Source, Text


class CoveredBy(BaseModel):
    """The registration that covers a stranger by now, or did until it ended (`expired`)."""

    peer: int
    name: str
    state: State


class SignOffView(BaseModel):
    id: int
    gateway: str
    prefix: str
    reason: str
    until: datetime | None = Field(description="null: until it is taken back")
    created: datetime
    created_by: str

    @classmethod
    def of(cls, found: SignOff) -> Self:
        return cls(
            id=found.id,
            gateway=found.gateway,
            prefix=found.written,
            reason=found.reason,
            until=found.until,
            created=found.created,
            created_by=found.created_by,
        )


class OwnedView(BaseModel):
    """What the operator's own list of prefixes says (PEERGATE_PREFIXES_FILE)."""

    prefix: str
    owner: str
    contact: str


class StrangerView(BaseModel):
    id: int
    gateway: str
    source: str
    service: str = Field(
        description="as on the wire; proto/17 or proto/6: later fragments, which show no port"
    )
    first_seen: datetime
    last_seen: datetime
    packets: int = Field(description="an estimate, made of samples")
    packets_error: int = Field(
        description="the estimate's standard error: two times out of three it is off by less, "
        "nineteen out of twenty by less than twice that"
    )
    samples: int
    minutes: int = Field(
        description="in so many minutes it was sampled: who tries again and again, not who sends "
        "much; a minute at two routers counts twice"
    )
    days: list[date] = Field(description="of the last 30 those, in UTC, on which it was seen")
    dropped: bool = Field(description="some of its packets were; else they only would have been")
    routers: list[str] = Field(description="that saw it")
    covered: CoveredBy | None
    signed_off: SignOffView | None
    owned: OwnedView | None = Field(description="null: no prefix of that list holds it")

    @classmethod
    def of(cls, known: Known, owned: Owned | None) -> Self:
        found, peer, sign_off = known.stranger, known.peer, known.sign_off
        return cls(
            id=found.id,
            gateway=found.gateway,
            source=str(found.source),
            service=found.service,
            first_seen=found.first_seen,
            last_seen=found.last_seen,
            packets=found.packets,
            packets_error=found.packets_error,
            samples=found.samples,
            minutes=found.minutes,
            days=list(found.seen_on),
            dropped=found.dropped,
            routers=list(found.routers),
            covered=None
            if peer is None or known.state is None
            else CoveredBy(peer=peer.id, name=peer.name, state=known.state),
            signed_off=None if sign_off is None else SignOffView.of(sign_off),
            owned=None
            if owned is None
            else OwnedView(prefix=str(owned.prefix), owner=owned.owner, contact=owned.contact),
        )


class StrangerDetails(StrangerView):
    names: list[str] | None = Field(
        description="of its address, by the operator's own resolver (PEERGATE_RESOLVER); null: "
        "none is asked, or it did not answer. Whoever holds the address writes them"
    )


class StrangerPage(BaseModel):
    """It may hold fewer than `limit`, also none, and yet have a next one."""

    items: list[StrangerView]
    next: str | None


class DayView(BaseModel):
    day: date
    packets: int = Field(
        description="of strangers at this gateway, unregistered or expired: counted, not estimated"
    )
    samples: int


class StrangerSummary(BaseModel):
    gateway: str
    strangers: int = Field(description="that are kept, those covered or signed off among them")
    days: list[DayView] = Field(description="in UTC, the newest first")

    @classmethod
    def of(cls, found: Summary) -> Self:
        days = [DayView(day=d, packets=t.packets, samples=t.samples) for d, t in found.days.items()]
        return cls(gateway=found.gateway, strangers=found.strangers, days=days)


class StrangerRegistration(Document):
    """What a registration needs beyond what is known of the stranger."""

    name: Name | None = Field(None, description="else made of the source")
    owner: Text | None = Field(None, description="else that of the prefix")
    contact: Contact | None = Field(None, description="else that of the prefix")
    purpose: Text
    prefix_length: Annotated[int, Field(ge=8, le=128)] | None = Field(
        None, description="registers so long a prefix around it, not the one address"
    )
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    terms: TermsVersion | None = Field(
        None, description="the version of the terms of use acknowledged"
    )

    @property
    def fields(self) -> dict[str, object]:
        """Of the peer, as far as they are said."""
        return self.model_dump(exclude={"prefix_length", "terms"}, exclude_none=True)


class NewSignOff(Document):
    gateway: Name
    prefix: Source
    reason: Text = Field(examples=["a measurement project: it may see that we drop"])
    until: Moment | None = Field(None, description="from then on they count again")


class SignOffPage(BaseModel):
    items: list[SignOffView]
    next: str | None
