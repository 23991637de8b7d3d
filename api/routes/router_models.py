"""Bodies and answers of /v1/routers."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field

from api.records import Json
from api.registry.standing import Health, Standing
from policy.document import Document, Moment, Name, printable
from policy.labels import Labels
from policy.prefixes import ADDRESSES_PER_ROUTER
from policy.services import SERVICES_PER_ADDRESS


class NewRouter(Document):
    name: Annotated[Name, Field(examples=["edge-1"])]
    labels: Labels = Field(default_factory=dict)


class RouterPatch(Document):
    """All its labels anew."""

    labels: Labels


class InterfaceReport(Document):
    name: Annotated[str, Field(min_length=1, max_length=64, examples=["eth0"])]
    attach: Literal["native", "generic"]
    attached: bool
    program: Annotated[int, Field(ge=0, le=4294967295)] | None = None
    error: Annotated[str, Field(max_length=2000)] | None = None


class Entries(Document):
    hosts: Annotated[int, Field(ge=0, le=2**53)]
    prefixes: Annotated[int, Field(ge=0, le=2**53)]


# As the data plane counts.
_Counter = Annotated[int, Field(ge=0, lt=2**64)]


class Count(Document):
    packets: _Counter
    bytes: _Counter


# Each service of each address that a router carries may be a gateway; and no gateway known.
_GATEWAYS = ADDRESSES_PER_ROUTER * SERVICES_PER_ADDRESS + 1
_Verdict = Annotated[str, Field(pattern="^[a-z_]{1,40}$", examples=["registered_pass"])]
_Gateway = Annotated[str, Field(max_length=64), AfterValidator(printable)]


class ClockReport(Document):
    """`offset`: seconds that the registry's clock is ahead of the router's, by a round trip.
    `correction`: what of that the router judges validity by, where its own clock is not
    `synchronised`."""

    offset: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    synchronised: bool
    correction: Annotated[float, Field(ge=-1e12, le=1e12)] = 0.0


class ReportedWord(Document):
    """The registry's word on the newest answer that the router took, as it was signed."""

    statement: Annotated[str, Field(min_length=1, max_length=1000)]
    signature: Annotated[
        str, Field(max_length=200, description="public key and signature, as in the header")
    ]


class RouterReport(Document):
    """What an agent says of its router. Counters are by gateway; "" is no gateway known."""

    registry: Annotated[str, Field(min_length=1, max_length=64)]
    revision: Annotated[int, Field(ge=0, le=2**53)]
    version: Annotated[str, Field(max_length=64, examples=["0.1.0"])]
    kernel: Annotated[str, Field(max_length=128, examples=["6.18.0"])]
    time: Moment
    interfaces: Annotated[tuple[InterfaceReport, ...], Field(max_length=256)]
    entries: Entries
    repairs: Annotated[int, Field(ge=0, le=2**53)] = 0
    put_back: Annotated[
        int,
        Field(ge=0, le=2**53, description="how often the program had been taken off an interface"),
    ] = 0
    held: Annotated[str, Field(max_length=2000)] | None = None
    heard: Moment | None = Field(
        default=None, description="when the registry signed its newest word that came here"
    )
    clock: ClockReport | None = None
    word: ReportedWord | None = Field(
        default=None,
        description="shows a registry that was restored from a backup where it had been: it goes "
        "on above that. It is not kept",
    )
    counters: Annotated[
        dict[_Gateway, Annotated[dict[_Verdict, Count], Field(max_length=64)]],
        Field(max_length=_GATEWAYS),
    ] = Field(default_factory=dict)


class RouterView(BaseModel):
    name: str
    labels: dict[str, str]
    created: datetime
    created_by: str
    stage: Literal["canary", "rest"] | None = Field(description="in a staged roll-out")
    received: datetime | None = Field(description="when it reported last")
    lag: int | None = Field(description="revisions behind this registry")
    behind_since: datetime | None
    clock_offset: float | None = Field(
        description="seconds that its clock is ahead of the registry's"
    )
    health: Health = Field(description="the worst that is wrong there")
    warnings: list[str] = Field(description="what is wrong there, and what to do about it")
    report: dict[str, Json] | None = Field(description="the latest, as the router sent it")

    @classmethod
    def of(cls, standing: Standing) -> Self:
        report = standing.report
        return cls.model_validate(
            {
                "name": standing.router.name,
                "labels": standing.router.labels,
                "created": standing.router.created,
                "created_by": standing.router.created_by,
                "stage": standing.stage,
                "received": None if report is None else report.received,
                "lag": standing.lag,
                "behind_since": standing.behind_since,
                "clock_offset": standing.clock_offset,
                "health": standing.health,
                "warnings": list(standing.warnings),
                "report": None if report is None else report.content,
            }
        )


class RouterPage(BaseModel):
    items: list[RouterView]
    next: str | None
