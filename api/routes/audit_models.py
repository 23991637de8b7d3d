"""What the audit trail looks like from outside."""

from datetime import datetime

from pydantic import BaseModel, Field

from api.records import Json


class ActorView(BaseModel):
    name: str = Field(description="the token's name; `peergate` is the registry itself")
    role: str | None = Field(description="null where there was no token")
    token: int | None


class AuditView(BaseModel):
    number: int = Field(description="counts up by one from record to record")
    time: datetime
    actor: ActorView
    from_: str | None = Field(alias="from", description="the client's address")
    request: str | None = Field(description="the request's `X-Request-Id`")
    action: str = Field(examples=["peer.approve"])
    subject: str = Field(examples=["peer/17"])
    before: Json = Field(description="the subject's fields before; null where it is new")
    after: Json = Field(description="the subject's fields after; null where it is gone")
    hash: str = Field(description="SHA-256 over this record and the hash of the one before")


class AuditPage(BaseModel):
    items: list[AuditView]
    next: str | None = Field(description="the cursor of the next page")


class AuditHead(BaseModel):
    """Where the chain ends. Kept elsewhere, it shows later whether the chain was rewritten."""

    registry: str
    number: int
    hash: str
