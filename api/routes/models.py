"""Bodies and answers that are not part of the policy document."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from api.cutover_records import Cutover
from api.records import Gateway, Json, Peer, Role, State, Token
from api.registry import gateways
from api.registry.policy import Difference
from api.routes.cutover_models import CutoverView
from api.routes.peer_models import BoundsView, ProposalView
from policy.document import (
    SOURCES_PER_PEER,
    Block,
    BoundsSpec,
    Contact,
    Document,
    GatewaySpec,
    Moment,
    Name,
    PeerSpec,
    ServiceText,
    Source,
    Text,
)
from policy.labels import Labels


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def unset() -> Any:  # noqa: ANN401  # stands for a field that was not sent
    return Field(default=None, json_schema_extra=_without_default)


class GatewayPatch(Document):
    """What changes of a gateway; the rest stays. The name never changes."""

    addresses: Annotated[tuple[Block, ...], Field(min_length=1, max_length=256)] = unset()
    services: Annotated[tuple[ServiceText, ...], Field(min_length=1, max_length=64)] = unset()
    mode: Literal["monitor", "enforce"] = unset()
    enforce_from: Moment | None = unset()
    enforce_until: Moment | None = unset()
    routers: Labels = unset()


class PeerPatch(Document):
    """What changes of a peer; the rest stays. It stays at its gateway."""

    name: Name = unset()
    owner: Text = unset()
    contact: Contact = unset()
    purpose: Text = unset()
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=SOURCES_PER_PEER)] = (
        unset()
    )
    valid_from: Moment | None = unset()
    valid_until: Moment | None = unset()
    bounds: BoundsSpec | None = unset()

    @property
    def fields(self) -> dict[str, Json]:
        """What was sent, as JSON; bounds are set as a whole."""
        sent: dict[str, Json] = self.model_dump(
            mode="json", include=set(PeerPatch.model_fields), exclude_unset=True
        )
        if "bounds" in sent and self.bounds is not None:
            sent["bounds"] = self.bounds.model_dump(mode="json")
        return sent


class Decision(Document):
    reason: Text = Field(examples=["contract ended"])


class Renewal(Document):
    """A new end; null is none."""

    valid_until: Moment | None


class NewToken(Document):
    name: Name = Field(examples=["router-1"])
    role: Role
    expires: Moment | None = None
    router: Name | None = Field(
        default=None,
        description="of an agent's token: the router that it is for, which must be there; "
        "else the one of the token's name, which is made with it",
    )


class GatewayView(BaseModel):
    name: str
    addresses: list[str]
    services: list[str]
    mode: Literal["monitor", "enforce"]
    enforce_from: datetime | None
    enforce_until: datetime | None
    routers: dict[str, str] = Field(description="the labels of the routers that carry it")
    created: datetime
    changed: datetime
    warnings: list[str] = Field(
        description="what an operator should know of its services, and of this change"
    )
    cutover: CutoverView | None = Field(description="the latest one; null: there never was any")

    @classmethod
    def of(cls, gateway: Gateway, cutover: Cutover | None, now: datetime) -> Self:
        return cls(
            **gateway.spec.model_dump(mode="json"),
            created=gateway.created,
            changed=gateway.changed,
            warnings=list(gateways.warnings(gateway.spec)),
            cutover=None if cutover is None else CutoverView.of(cutover, now),
        )


class PeerView(BaseModel):
    id: int
    name: str
    gateway: str
    owner: str
    contact: str
    purpose: str
    sources: list[str]
    valid_from: datetime | None
    valid_until: datetime | None
    state: State = Field(description="an approved peer shows as active, expired, or approved yet")
    created: datetime
    created_by: str
    decided: datetime | None
    decided_by: str | None
    reason: str | None
    terms: str | None = Field(description="the version of the terms of use acknowledged")
    changed: datetime
    proposal: ProposalView | None = Field(description="a change that waits, or was declined")
    bounds: BoundsView | None = Field(description="within these its owner moves its sources")
    here: list[str] = Field(description="of the sources those that calls of its owner gave")
    moved: datetime | None = Field(description="when its owner last moved any")
    last_seen: datetime | None = Field(
        description="about when a router last saw a packet of it, to an hour; null: none said so"
    )

    @classmethod
    def of(cls, peer: Peer, now: datetime, seen: datetime | None = None) -> Self:
        return cls(
            id=peer.id,
            name=peer.name,
            gateway=peer.gateway,
            owner=peer.owner,
            contact=peer.contact,
            purpose=peer.purpose,
            sources=list(peer.sources),
            valid_from=peer.valid_from,
            valid_until=peer.valid_until,
            state=peer.shown(now),
            created=peer.created,
            created_by=peer.created_by,
            decided=peer.decided,
            decided_by=peer.decided_by,
            reason=peer.reason,
            terms=peer.terms,
            changed=peer.changed or peer.created,
            proposal=None if peer.proposal is None else ProposalView.of(peer.proposal),
            bounds=None if peer.bounds is None else BoundsView(**asdict(peer.bounds)),
            here=[source for source in peer.here if source in peer.sources],
            moved=peer.moved,
            last_seen=seen,
        )


class TokenView(BaseModel):
    id: int
    name: str
    role: Role
    created: datetime
    created_by: str
    expires: datetime | None
    router: str | None = Field(description="of an agent's token, the router that it is for")
    peer: int | None = Field(description="an owner's token is for this one alone")

    @classmethod
    def of(cls, token: Token) -> Self:
        return cls(
            id=token.id,
            name=token.name,
            role=token.role,
            created=token.created,
            created_by=token.created_by,
            expires=token.expires,
            router=token.router,
            peer=token.peer,
        )


class IssuedToken(TokenView):
    token: str = Field(description="shown this once, and not kept")


class DifferenceView(BaseModel):
    kind: Literal["gateway", "peer"]
    name: str
    gateway: str
    action: Literal["add", "change", "remove", "approve", "revoke"]
    fields: dict[str, tuple[Json, Json]] = Field(description="before and after, of what differs")

    @classmethod
    def of(cls, found: Difference) -> Self:
        return cls.model_validate(found, from_attributes=True)


class Applied(BaseModel):
    dry_run: bool
    revision: int
    changes: list[DifferenceView]
    warnings: list[str]


class ListedPeer(PeerSpec):
    id: Annotated[int, Field(ge=1, le=4294967295)]


class AllowlistView(BaseModel):
    registry: str
    revision: int
    time: datetime
    gateways: list[GatewaySpec]
    peers: list[ListedPeer]


class ChangesView(BaseModel):
    """The newest state of all that changed after `after`; null is gone."""

    registry: str
    after: int
    revision: int
    time: datetime
    gateways: dict[str, GatewaySpec | None]
    peers: dict[str, ListedPeer | None]


class EndorsementView(BaseModel):
    statement: str = Field(description="JSON: key, endorsed by the key `by` at `time`; `until`")
    signature: str = Field(description="of the statement, by the key `by`")


class KeysView(BaseModel):
    """Public keys are Ed25519's 32 bytes in base64."""

    key: str
    endorsements: list[EndorsementView]


class Status(BaseModel):
    registry: str
    revision: int
    time: datetime
    version: str
    gateways: int | None
    peers: dict[State, int] | None = Field(description="approved includes active and expired")
    routers: int | None


class Health(BaseModel):
    status: Literal["ok"]


class GatewayPage(BaseModel):
    items: list[GatewayView]
    next: str | None = Field(description="the cursor of the next page")


class PeerPage(BaseModel):
    items: list[PeerView]
    next: str | None


class TokenPage(BaseModel):
    items: list[TokenView]
    next: str | None
