"""Questions of the registry to this router, as they come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from policy.document import Moment, problems_of
from policy.errors import PolicyError
from policy.packets import Question, question

_Port = Annotated[int, Field(ge=0, le=65535)]


@dataclass(frozen=True, slots=True)
class Asked:
    """`question` is judged as of `now`; None is when it is judged."""

    number: int
    question: Question
    now: datetime | None


class _Packet(BaseModel):
    src: str
    dst: str
    proto: Annotated[int, Field(ge=0, le=255)]
    sport: _Port | None
    dport: _Port | None


class _Item(BaseModel):
    id: Annotated[int, Field(ge=1, le=2**53)]
    packet: _Packet
    now: Moment | None


class _Items(BaseModel):
    items: Annotated[list[_Item], Field(max_length=100)]


def parse_questions(text: bytes) -> list[Asked]:
    """Raises PolicyError with what is wrong."""
    try:
        items = _Items.model_validate_json(text).items
    except ValidationError as error:
        raise PolicyError(problems_of(error)) from None
    return [Asked(each.id, _question(each.packet), each.now) for each in items]


def _question(packet: _Packet) -> Question:
    return question(packet.src, packet.dst, str(packet.proto), packet.sport, packet.dport)
