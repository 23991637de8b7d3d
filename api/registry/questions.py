"""Questions to routers: asked by those who read, taken and answered by the router itself.

Nothing of the registry changes. What was asked and answered is there until it is read, and that
somebody asked for a minute, by which the number is bounded.
"""

from datetime import timedelta

from api.errors import ConflictError, NotFoundError, ThrottledError, UnansweredError
from api.question_records import Asked, OpenQuestion, Outcome
from api.records import Json
from api.registry import routers
from api.registry.core import Read, Registry
from api.registry.permissions import Caller
from api.registry.standing import SILENT
from api.store import notices, questions
from api.store import routers as router_rows
from api.store.notices import Channel
from policy.window import rfc3339

KEPT = timedelta(minutes=1)
# In that time, so many of one caller, to one router, and in all.
OF_CALLER = 30
OF_ROUTER = 60
ALTOGETHER = 600
# A router takes so many at once.
TAKEN = 8


def ask(registry: Registry, caller: Caller, router: str, asked: Asked, wait: timedelta) -> int:
    """The question's number. Raises ConflictError where nobody is there to answer."""
    with registry.read() as read:
        _check_there(read, router)
    content: Json = {"packet": asked.packet, "now": rfc3339(asked.now)}
    with registry.aside(caller.name) as aside:
        connection, now = aside.connection, aside.now
        questions.forget(connection, now - KEPT)
        who = caller.identity
        counts = questions.count(connection, now - KEPT, router=router, caller=who)
        for count, most, what in zip(
            counts,
            (ALTOGETHER, OF_ROUTER, OF_CALLER),
            ("in all", f"to router {router!r}", f"by {caller.name!r}"),
            strict=True,
        ):
            if count >= most:
                seconds = round(KEPT.total_seconds())
                raise ThrottledError(f"{most} questions a minute {what} are the most", seconds)
        number = questions.add(
            connection, router=router, caller=who, asked=now, until=now + wait, content=content
        )
        notices.send(connection, Channel.QUESTION, number)
    return number


def _check_there(read: Read, name: str) -> None:
    routers.get(read, name)
    report = router_rows.reports_of(read.connection, [name]).get(name)
    if report is None:
        raise ConflictError(f"router {name!r} has not reported yet: start its agent", "router-away")
    if read.now - report.received > SILENT:
        raise ConflictError(
            f"router {name!r} is away, silent since {rfc3339(report.received)}: look at its agent "
            "(systemctl status peergate-agent) and at its way here",
            "router-away",
        )


def every_open(registry: Registry) -> tuple[OpenQuestion, ...]:
    with registry.read() as read:
        return questions.every_open(read.connection, read.now)


def take(registry: Registry, caller: Caller, router: str) -> list[tuple[int, Json]]:
    """What the router was asked and did not take yet: number and content."""
    routers.check_own(caller, router)
    with registry.read() as read:
        routers.get(read, router)
    with registry.aside(caller.name) as aside:
        return questions.take(aside.connection, router, aside.now, TAKEN)


def answer(registry: Registry, caller: Caller, router: str, number: int, content: Json) -> None:
    """Raises NotFoundError where nobody waits for it."""
    routers.check_own(caller, router)
    with registry.aside(caller.name) as aside:
        if not questions.answer(aside.connection, number, router, aside.now, content):
            raise NotFoundError(f"nobody waits for an answer of router {router!r} to {number}")
        notices.send(aside.connection, Channel.QUESTION, number)


def close(registry: Registry, caller: Caller, number: int) -> Outcome:
    with registry.aside(caller.name) as aside:
        return questions.close(aside.connection, number)


def forget(registry: Registry) -> None:
    """Those of more than a minute ago, also where who asked them has died since."""
    with registry.read() as read:
        if not questions.any_before(read.connection, read.now - KEPT):
            return
    with registry.aside("peergate") as aside:
        questions.forget(aside.connection, aside.now - KEPT)


def said(registry: Registry, router: str, outcome: Outcome) -> dict[str, Json]:
    """The router's account. Raises ConflictError where it has none, UnansweredError."""
    if outcome.answer is not None:
        if (account := outcome.answer.get("account")) is not None:
            assert isinstance(account, dict)
            return account
        raise ConflictError(f"router {router!r}: {outcome.answer['error']}", "router-refused")
    if outcome.taken:
        raise UnansweredError(
            f"router {router!r} took the question, and did not answer in time: it is busy; "
            "try again",
            "no-answer",
        )
    with registry.read() as read:
        report = router_rows.reports_of(read.connection, [router]).get(router)
    since, version = "", ""
    if report is not None:
        since = f" since it reported at {rfc3339(report.received)}"
        version = f" (it runs peergate {report.content['version']})"
    raise UnansweredError(
        f"router {router!r} did not come for the question in time: its agent has ended{since}, is "
        f"older than questions{version}, or is fetching a whole snapshot",
        "not-taken",
    )
