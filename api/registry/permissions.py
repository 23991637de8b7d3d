"""Who may do what: the one place that says it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.errors import ForbiddenError
from api.records import Actor, Origin, Role


class Permission(StrEnum):
    READ = "read gateways, peers, policy and routers"
    FOLLOW = "read the allowlist, its changes and the status"
    REQUEST = "ask for a peer, and edit one that is pending"
    DECIDE = "approve, reject, revoke and renew peers, and edit approved ones"
    SIGN_OFF = "sign off strangers, and take that back"
    GATEWAYS = "add, change and remove gateways"
    CUTOVER = "plan a cut-over of a gateway, confirm it, and take it back"
    POLICY = "apply a policy"
    RULES = "change the registry's rules"
    REPORT = "report as a router"
    AUDIT = "read the audit trail"
    OWN = "read one's own peer, and move its sources"
    TOKENS = "make, list and revoke tokens"
    ROUTERS = "add, label and remove routers"
    ROLLOUT = "roll back; set, confirm and abort a staged roll-out"
    WEBHOOKS = "add, change and remove webhooks"
    METRICS = "read the metrics"


_READER = frozenset({Permission.READ, Permission.FOLLOW, Permission.METRICS})

MATRIX: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READER,
    Role.REGISTRAR: _READER | {Permission.REQUEST},
    Role.APPROVER: _READER | {Permission.DECIDE, Permission.SIGN_OFF, Permission.CUTOVER},
    Role.AGENT: frozenset({Permission.FOLLOW, Permission.REPORT}),
    Role.AUDITOR: _READER | {Permission.AUDIT},
    Role.OWNER: frozenset({Permission.OWN}),
    # A Prometheus: what it is configured with, many can read.
    Role.METRICS: frozenset({Permission.METRICS}),
    # An admin changes sources like an approver, and has no peer.
    Role.ADMIN: frozenset(Permission) - {Permission.OWN},
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the token that came with a request: an agent's is for one router, an owner's
    for one peer."""

    token: int | None
    name: str
    role: Role
    origin: Origin
    router: str | None = None
    expires: datetime | None = None
    # Issuer and subject of one whom an identity provider vouches for.
    subject: str = ""
    peer: int | None = None
    # Its digest, of one who came with a session.
    session: str | None = None

    @property
    def actor(self) -> Actor:
        """As the audit trail names them."""
        return Actor(self.name, self.token, self.role, self.origin, self.session)

    @property
    def identity(self) -> str:
        """What tells one caller from another: names may be given twice."""
        return self.subject or f"token {self.token}"

    def require(self, *permissions: Permission) -> None:
        """Any one of them is enough."""
        if MATRIX[self.role].isdisjoint(permissions):
            may = [role for role in Role if not MATRIX[role].isdisjoint(permissions)]
            raise ForbiddenError(
                f"this needs the role {' or '.join(may)}; "
                f"the token {self.name!r} has the role {self.role}"
            )

    def require_peer(self, number: int) -> None:
        """Of owners, the token is good for no other peer."""
        if self.role is Role.OWNER and self.peer != number:
            raise ForbiddenError(f"the token {self.name!r} is for peer {self.peer} alone")
