"""What the registry holds, as values."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from policy.document import GatewaySpec
from policy.prefixes import Address, Network

# A piece of JSON that the registry keeps and hands on without looking into it.
Json = Any


class Role(StrEnum):
    VIEWER = "viewer"
    REGISTRAR = "registrar"
    APPROVER = "approver"
    AGENT = "agent"
    ADMIN = "admin"
    AUDITOR = "auditor"
    OWNER = "owner"
    METRICS = "metrics"


class State(StrEnum):
    """A peer's state: the first four are kept, the last two follow from the time."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    REVOKED = "revoked"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the client's address, and the request's id.

    `proxy` says that the address is a trusted proxy's own: whoever is behind it is not known.
    """

    address: Address
    request: str
    proxy: bool


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a token's bearer, or, without one, the registry itself or somebody at
    its machine. `session` is the digest of the session that they came with."""

    name: str
    token: int | None = None
    role: Role | None = None
    origin: Origin | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """`version` grows with every change of this gateway."""

    id: int
    spec: GatewaySpec
    version: int
    created: datetime
    changed: datetime

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Terms:
    """The operator's terms of use: a text, or where it stands."""

    version: str
    text: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What every registration keeps to. Version 0: nobody has set any yet."""

    version: int = 0
    four_eyes: bool = False
    terms: Terms | None = None
    longest_days: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of an approved peer that waits for an approver.

    `fields` are in the policy's words, `author` is an identity. `declined` says why it was.
    """

    fields: dict[str, Json]
    reason: str | None
    author: str
    proposed: datetime
    proposed_by: str
    declined: str | None = None
    declined_by: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Within what an owner moves the sources of its own peer.

    How many there are, how wide at most (the shortest lengths), the length that `here` gives an
    IPv6 address, the least seconds between two moves, and where; nowhere is anywhere.
    """

    sources: int
    ipv4_length: int
    ipv6_length: int
    here_ipv6_length: int
    interval_seconds: int
    within: tuple[str, ...]

    @classmethod
    def of(cls, kept: Json) -> Self:
        return cls(**kept | {"within": tuple(kept["within"])})

    @property
    def written(self) -> dict[str, Json]:
        """As `of` takes it."""
        return asdict(self) | {"within": list(self.within)}


@dataclass(frozen=True, slots=True)
class Peer:
    """One registration. `sources` are canonical text; `listed` says: in the allowlist.

    `authors` are the identities of whoever asked for it, or edited it while it was pending;
    `terms` is the version of the terms of use that was acknowledged. `here` are the sources that
    its owner's calls gave it, one of a family at most; `moved` is when the owner last moved any.
    """

    id: int
    gateway: str
    name: str
    owner: str
    contact: str
    purpose: str
    sources: tuple[str, ...]
    valid_from: datetime | None
    valid_until: datetime | None
    state: State
    listed: bool
    version: int
    created: datetime
    created_by: str
    decided: datetime | None
    decided_by: str | None
    reason: str | None
    authors: tuple[str, ...] = ()
    terms: str | None = None
    proposal: Proposal | None = None
    changed: datetime | None = None
    bounds: Bounds | None = None
    here: tuple[str, ...] = ()
    moved: datetime | None = None

    def shown(self, now: datetime) -> State:
        """The state as people see it: one approved for later is still `approved`."""
        if self.state is not State.APPROVED:
            return self.state
        if self.valid_until is not None and self.valid_until <= now:
            return State.EXPIRED
        if self.valid_from is not None and now < self.valid_from:
            return State.APPROVED
        return State.ACTIVE


class ListedPeer(NamedTuple):
    """What the allowlist says of a peer; `sources` is JSON. A tuple, for there may be a million."""

    id: int
    gateway: str
    name: str
    owner: str
    contact: str
    purpose: str
    sources: str
    valid_from: datetime | None
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class PeerFilter:
    """Which peers are wanted; None is any. `source`: one of theirs holds it, or is a part of it.

    Moments of `since` and `after` are in it, those of `before` are not. `proposed`: those of which
    a change waits for an approver.
    """

    gateway: str | None = None
    state: State | None = None
    owner: str | None = None
    contact: str | None = None
    name_prefix: str | None = None
    source: Network | None = None
    ends_before: datetime | None = None
    ends_after: datetime | None = None
    created_since: datetime | None = None
    changed_since: datetime | None = None
    proposed: bool = False


@dataclass(frozen=True, slots=True)
class Sort:
    """By one field of a peer, then by its id."""

    field: str = "id"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last peer's value of the field that it is sorted by, and its id."""

    value: int | str | datetime | None
    id: int


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token without its secret; an agent's is for one router, an owner's for one peer."""

    id: int
    name: str
    role: Role
    created: datetime
    created_by: str
    expires: datetime | None
    router: str | None = None
    peer: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A person's at the page. `caller` is the hash of whose identity it is; `name`, `role` and
    `subject` are good for one that has no token behind it."""

    digest: str
    caller: str
    token_id: int | None
    name: str
    role: Role
    subject: str
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Router:
    """A machine that may follow. `version` grows with every change of its labels."""

    name: str
    labels: dict[str, str]
    version: int
    created: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Report:
    """The latest that a router said of itself."""

    router: str
    revision: int
    received: datetime
    content: Json


@dataclass(frozen=True, slots=True)
class Rollout:
    """A staged roll-out: canaries have every revision, the rest those up to `released`.

    `hold` is after how many seconds a revision goes on by itself; None waits for a word.
    `version` is the revision at which this rule was made.
    """

    canaries: dict[str, str]
    hold: int | None
    released: int
    version: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where the registry stands. Changes are kept for revisions above `floor`.

    `lifted` is the revision that it was last lifted to: what routers have from before may be
    of a history that was lost.
    """

    registry: str
    revision: int
    floor: int
    policy_version: int
    rollout: Rollout | None = None
    lifted: int = 0


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of the allowlist, and who made it."""

    revision: int
    time: datetime
    author: str
    cause: str


@dataclass(frozen=True, slots=True)
class Point:
    """A state of the allowlist that routers hold.

    All changes up to `revision`; with a `base` those up to that, and of the later ones the
    urgent alone.
    """

    revision: int
    base: int | None = None

    @property
    def surely(self) -> int:
        """Up to this revision every change is in it."""
        return self.revision if self.base is None else self.base

    def has(self, revision: int, *, urgent: bool) -> bool:
        return revision <= self.surely or (urgent and revision <= self.revision)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change, as it was written down. Roles and addresses are text: what they meant then.

    `hash` ties it to the record before (api/chain.py).
    """

    number: int
    time: datetime
    actor: str
    token: int | None
    role: str | None
    address: str | None
    request: str | None
    action: str
    subject: str
    before: Json
    after: Json
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records are wanted; None is any. [since, until)."""

    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """What a request with an idempotency key was answered; no body where it held a secret."""

    digest: str
    status: int
    body: str | None
    headers: dict[str, str]
