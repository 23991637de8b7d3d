"""A cut-over taken back: by a word, or because it cuts off too many."""

from api.cutover_records import UNDER_WAY, Cutover, CutoverState
from api.errors import ConflictError
from api.records import Gateway
from api.registry import cutovers, gateways
from api.registry.carriers import carriers_of
from api.registry.core import Expected, Write
from api.registry.cutover import Ended, catch_up, get, names_of, past_rollout
from api.registry.readiness import Unsettled

# Of those dropped an event names so many.
_NAMED = 10


def take_back(write: Write, name: str, expected: Expected, reason: str | None) -> Ended:
    """Before it switches it is cancelled; after that, and once it is confirmed, the gateway
    monitors again."""
    gateway = gateways.get(write, name)
    expected.check(gateway.version, f"gateway {name!r}")
    before = get(write, gateway)
    now = before.shown(write.now)
    confirmed = now is CutoverState.CONFIRMED and gateway.spec.mode == "enforce"
    if now not in UNDER_WAY and not confirmed:
        raise ConflictError(
            f"no cut-over of {name} is under way: the last one is {now}, and {name} is set to "
            f"{gateway.spec.mode}",
            "not-under-way",
        )
    without_it = names_of(carriers_of(write, gateway))
    return Ended(give_back(write, gateway, before, reason), without_it)


def give_back(
    write: Write,
    gateway: Gateway,
    before: Cutover,
    reason: str | None,
    dropped: Unsettled | None = None,
) -> Cutover:
    """`dropped` are those for whose sake, if it is."""
    before = catch_up(write, before)
    past_rollout(write, gateway)
    planned = before.state is CutoverState.PLANNED
    state = CutoverState.CANCELLED if planned else CutoverState.RETURNED
    record, content = None, None
    if dropped is not None:
        record = {"dropped": [*dropped.addresses]}
        first = [str(each) for each in dropped.addresses[:_NAMED]]
        content = {"dropped": dropped.sources, "first": first}
    done = cutovers.end(write, before, state, reason, record=record, content=content)
    gateways.save(write, gateway, cutovers.monitoring(gateway.spec))
    return done
