"""Bodies and answers of questions to routers."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from policy.document import Document, Moment, printable, refusal

_Address = Annotated[str, Field(max_length=39, examples=["203.0.113.9"])]
_Port = Annotated[int, Field(ge=0, le=65535)]
# An answer is shown as it came: nothing in it is invisible, and all of it has an end.
_Line = Annotated[str, Field(max_length=2000), AfterValidator(printable)]
_Short = Annotated[str, Field(max_length=320), AfterValidator(printable)]


class PacketView(Document):
    src: _Address
    dst: Annotated[str, Field(max_length=39, examples=["198.51.100.1"])]
    proto: Annotated[int, Field(ge=0, le=255, examples=[17])]
    sport: Annotated[_Port | None, Field(examples=[49152])] = None
    dport: Annotated[_Port | None, Field(examples=[51820])] = None


class RegistrationView(Document):
    """One prefix of a peer, and how it stands to the packet."""

    id: Annotated[int, Field(ge=0, le=2**32 - 1, examples=[7])]
    name: Annotated[_Short, Field(examples=["branch-7"])]
    gateway: Annotated[_Short, Field(examples=["hub"])]
    owner: Annotated[_Line, Field(examples=["Branch networks"])]
    contact: Annotated[_Short, Field(examples=["netops@example.net"])]
    purpose: Annotated[_Line, Field(examples=["Site-to-site tunnel of branch 7"])]
    source: Annotated[_Short, Field(examples=["203.0.113.0/28"])]
    valid_from: Moment | None
    valid_until: Moment | None
    standing: Annotated[_Line, Field(examples=["is valid until 2027-01-31T00:00:00Z"])]


class AccountView(Document):
    """What becomes of a packet on a router, and why, as `peergate explain` has it."""

    packet: PacketView
    now: Annotated[Moment, Field(description="as of when it was judged")]
    revision: Annotated[int, Field(ge=0, le=2**53)] | None = Field(
        description="in force there; null where the router knows none", examples=[12]
    )
    verdict: Annotated[str, Field(pattern="^[a-z_]{1,40}$", examples=["registered"])]
    action: Literal["pass", "drop"]
    would_drop: Annotated[
        bool, Field(description="it passes, since the gateway monitors, and is counted")
    ]
    gateway: _Short | None
    peer: RegistrationView | None = Field(description="the one named for the packet")
    nearest: RegistrationView | None = Field(
        description="the registration that came nearest, where none covers the source"
    )
    why: Annotated[tuple[_Line, ...], Field(max_length=64)]


class QuestionView(BaseModel):
    """`now`: judge as of then; null is when the router comes to it."""

    id: int
    packet: PacketView
    now: datetime | None


class QuestionList(BaseModel):
    items: list[QuestionView]


class QuestionAnswer(Document):
    """What the program said, or why it cannot be asked."""

    account: AccountView | None = None
    error: _Line | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.account is None) == (self.error is None):
            raise refusal("account", "", "give either `account` or `error`")
        return self
