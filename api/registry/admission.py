"""The registry's rules, for many peers: api.registry.rules has them for one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from api.errors import ForbiddenError
from api.records import Peer, Rules, State
from api.registry import rules
from api.registry.core import Read, Write
from api.registry.many import Content, bounds_of, moment
from api.registry.permissions import Caller
from policy.window import rfc3339


@dataclass(frozen=True, slots=True)
class Admission:
    """What one caller may let in; `terms` is the version that was acknowledged for all."""

    rules: Rules
    caller: Caller
    now: datetime
    terms: str | None

    @classmethod
    def at(cls, state: Read | Write, caller: Caller, terms: str | None = None) -> Self:
        return cls(rules.current(state), caller, state.now, terms)

    def new(self, content: Content, state: State) -> Content:
        """What is registered in its place. Raises RefusedError and ForbiddenError."""
        start, end = moment(content["valid_from"]), moment(content["valid_until"])
        if state is State.PENDING:
            rules.check_terms(self.rules, self.terms)
            rules.check_bounds(self.rules, bounds_of(content))
            end = end or rules.last_end(self.rules, self.now, start)
        elif self.rules.four_eyes:
            raise _alone(content["name"], content["gateway"])
        rules.check_validity(self.rules, self.now, start, end)
        return {**content, "valid_until": rfc3339(end)}

    def change(self, before: Peer, after: Peer) -> None:
        """Of one that is approved then. Raises RefusedError and ForbiddenError."""
        if (after.valid_from, after.valid_until) != (before.valid_from, before.valid_until):
            rules.check_validity(self.rules, self.now, after.valid_from, after.valid_until)
        own = before.state is State.PENDING and self.caller.identity in before.authors
        if self.rules.four_eyes and (own or rules.lets_more_in(before, after)):
            raise _alone(before.name, before.gateway)


def _alone(name: str, gateway: str) -> ForbiddenError:
    return ForbiddenError(
        f"this lets in what nobody else has approved: {name} at {gateway}, maybe among others. By "
        "the four-eyes rule import these peers as pending, and have another approver decide",
        "four-eyes",
    )
