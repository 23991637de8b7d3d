"""policy.yaml: gateways and peers as people write them, checked as a whole."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from policy.errors import PolicyError, Problem
from policy.labels import Labels
from policy.offers import Offer, offer_problems
from policy.prefixes import (
    ADDRESSES_PER_GATEWAY,
    SHORTEST_SOURCE,
    Address,
    Network,
    parse_gateway_block,
    parse_source,
)
from policy.services import Service, parse_service
from policy.window import Window

T = TypeVar("T")

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
SOURCES_PER_PEER = 4096


def _text_to(parse: Callable[[str], T]) -> Callable[[object], T]:
    """A validator that takes text alone: ipaddress would take integers too."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("must be text: quote it")
        return parse(value)

    return validate


def _one_address_or_prefix(network: Network) -> str:
    """As people write it: a host without its length."""
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address if whole else network)


def printable(text: str) -> str:
    """The same text. Raises ValueError where it holds what cannot be seen."""
    if text.isascii() and text.isprintable():
        return text
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text):
        raise ValueError("control and invisible formatting characters are not allowed")
    return text


def _mail(text: str) -> str:
    if not _MAIL.fullmatch(text):
        raise ValueError("must be a mail address, as in netops@example.net")
    return text


def _moment(value: object) -> object:
    """YAML gives datetimes, JSON text; numbers, in text too, would be seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _DAY.match(value)):
        raise ValueError("must be a time with its zone, as in 2026-12-01T00:00:00Z")
    return value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range in UTC") from None


def _unique(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


Block = Annotated[
    Network,
    BeforeValidator(_text_to(parse_gateway_block)),
    PlainSerializer(_one_address_or_prefix, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["198.51.100.1", "2001:db8::/120"]}),
]
Source = Annotated[
    Network,
    BeforeValidator(_text_to(parse_source)),
    PlainSerializer(_one_address_or_prefix, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["203.0.113.7", "2001:db8:7::/48"]}),
]
ServiceText = Annotated[
    str,
    AfterValidator(lambda text: (parse_service(text), text)[1]),
    Field(examples=["wireguard", "udp/4433", "proto/97"]),
]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    AfterValidator(_utc),
    Field(examples=["2026-12-01T00:00:00Z"]),
]
Name = Annotated[str, Field(pattern=_NAME, examples=["hub"])]
Text = Annotated[
    str, Field(min_length=1, max_length=500), AfterValidator(printable), Field(examples=["Netops"])
]
Contact = Annotated[
    str,
    Field(max_length=254, examples=["netops@example.net"]),
    AfterValidator(printable),
    AfterValidator(_mail),
]


class Document(BaseModel):
    """Unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)


def refusal(field: str, value: object, rule: str) -> PydanticCustomError:
    """A rule between fields, tied to the one that breaks it."""
    context = {"field": field, "value": str(value), "rule": rule}
    return PydanticCustomError("rule", "{rule}", context)


def _check_order(start: datetime | None, end: datetime | None, field: str) -> None:
    if start is not None and end is not None and end <= start:
        raise refusal(field, end.isoformat(), "the window ends before it starts")


Mode = Literal["monitor", "enforce"]


class GatewaySpec(Document):
    """Addresses that the operator runs, what they offer, and whether strangers are dropped."""

    name: Name
    addresses: Annotated[tuple[Block, ...], Field(min_length=1, max_length=256)]
    services: Annotated[tuple[ServiceText, ...], Field(min_length=1, max_length=64)]
    mode: Mode = "monitor"
    enforce_from: Moment | None = None
    enforce_until: Moment | None = None
    # The routers that carry it, by their labels; none is all of them.
    routers: Labels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.enforce_from, self.enforce_until, "enforce_until")
        if self.mode == "monitor" and (self.enforce_from or self.enforce_until):
            rule = "enforce_from and enforce_until need mode: enforce"
            raise refusal("mode", self.mode, rule)
        count = len(self.hosts)
        if count > ADDRESSES_PER_GATEWAY:
            rule = f"a gateway is at most {ADDRESSES_PER_GATEWAY} addresses"
            raise refusal("addresses", f"{count} addresses", rule)
        return self

    @property
    def offered(self) -> tuple[Service, ...]:
        """The services, presets spelled out, each once."""
        return _unique(s for text in self.services for s in parse_service(text))

    @property
    def hosts(self) -> tuple[Address, ...]:
        """Every single address, each once."""
        return _unique(address for block in self.addresses for address in block)

    @property
    def offer(self) -> Offer:
        return Offer(self.name, self.hosts, self.offered)

    @property
    def enforcement(self) -> Window | None:
        """When the gateway drops; None in monitor mode."""
        return Window(self.enforce_from, self.enforce_until) if self.mode == "enforce" else None


class PeerSpec(Document):
    """One registration at one gateway."""

    name: Name
    gateway: Name
    owner: Text
    contact: Contact
    purpose: Text
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=SOURCES_PER_PEER)]
    valid_from: Moment | None = None
    valid_until: Moment | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_order(self.valid_from, self.valid_until, "valid_until")
        return self

    @property
    def validity(self) -> Window:
        return Window(self.valid_from, self.valid_until)


class BoundsSpec(Document):
    """Within what a peer's owner moves its sources."""

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


class PolicyPeer(PeerSpec):
    """What a registry keeps of one beyond what routers need: where `bounds` are not said they
    stay as they are, null takes them away."""

    bounds: BoundsSpec | None = None


class Policy(Document):
    """All gateways and all approved peers."""

    gateways: tuple[GatewaySpec, ...] = ()
    peers: tuple[PolicyPeer, ...] = ()


def _peer_problems(policy: Policy) -> Iterable[Problem]:
    gateways = {gateway.name for gateway in policy.gateways}
    seen: set[tuple[str, str]] = set()
    for index, peer in enumerate(policy.peers):
        if peer.gateway not in gateways:
            rule = f"no gateway has this name; there are: {', '.join(sorted(gateways)) or 'none'}"
            yield Problem(f"peers[{index}].gateway", peer.gateway, rule)
        if (peer.gateway, peer.name) in seen:
            rule = f"gateway {peer.gateway} has two peers of this name"
            yield Problem(f"peers[{index}].name", peer.name, rule)
        seen.add((peer.gateway, peer.name))


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """pydantic's errors in our words: field, value, rule."""
    return problems_in(error.errors(include_url=False))


def problems_in(details: Sequence[ErrorDetails]) -> tuple[Problem, ...]:
    """The same of details that a framework has gathered."""
    # A list whose items were refused is said to be too short as well: that is noise.
    refused = {detail["loc"][:-1] for detail in details}
    return tuple(
        _problem(detail)
        for detail in details
        if not (detail["type"] == "too_short" and detail["loc"] in refused)
    )


def _field(loc: Iterable[int | str]) -> str:
    field = ""
    for part in loc:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else part
    return field


_RULES = {
    "extra_forbidden": "unknown field",
    "missing": "missing",
    "too_short": "must hold at least one",
    "timezone_aware": "must carry its zone, as in 2026-12-01T00:00:00Z",
}


def _problem(detail: ErrorDetails) -> Problem:
    kind, value = detail["type"], detail["input"]
    if kind == "rule":
        context = detail["ctx"]
        return Problem(_field((*detail["loc"], context["field"])), context["value"], detail["msg"])
    rule = _RULES.get(kind, detail["msg"].removeprefix("Value error, "))
    if kind == "string_pattern_mismatch" and detail["ctx"]["pattern"] == _NAME:
        rule = "a name is 1 to 63 letters, digits, dots, dashes or underscores"
    return Problem(_field(detail["loc"]), "" if kind == "missing" else _shown(value), rule)


def _shown(value: object) -> str:
    """A refused value as it may be read; none that is a whole structure."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"  # Python does not write it out
    return str(value)[:200] if isinstance(value, str | int | float | date) else ""


def check_policy(data: object) -> Policy:
    """The policy that parsed YAML or JSON holds. Raises PolicyError with every problem."""
    try:
        policy = Policy.model_validate(data)
    except ValidationError as error:
        raise PolicyError(problems_of(error)) from None
    if problems := policy_problems(policy):
        raise PolicyError(problems)
    return policy


def policy_problems(policy: Policy) -> tuple[Problem, ...]:
    """What is wrong between the parts of a policy whose parts are right by themselves."""
    offers = (gateway.offer for gateway in policy.gateways)
    return offer_problems(offers) + tuple(_peer_problems(policy))
