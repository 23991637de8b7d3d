"""/v1/routers/{name}/explain and /questions: a packet through the program of a router."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth import CallerOf, RegistryOf, needs
from api.desk import Desk
from api.errors import RefusedError
from api.question_records import Asked
from api.registry import questions
from api.registry.permissions import Permission
from api.routes.conventions import answer
from api.routes.question_models import AccountView, QuestionAnswer, QuestionList, QuestionView
from api.routes.streams import disconnected, to_its_end
from policy.document import Moment, Name
from policy.errors import PolicyError
from policy.packets import SOURCE_PORT, question

router = APIRouter(prefix="/v1/routers", tags=["routers"])
RouterName = Annotated[Name, Path()]
_Number = Annotated[int, Path(ge=1, le=2**53)]
_Port = Annotated[int | None, Query(ge=0, le=65535, description="for udp and tcp")]


def packet_of(
    src: Annotated[str, Query(max_length=64, examples=["203.0.113.9"])],
    dst: Annotated[str, Query(max_length=64, examples=["198.51.100.1"])],
    proto: Annotated[
        str,
        Query(
            max_length=16,
            description="udp, tcp, esp, ah, gre, ipip, icmp ... or its number",
            examples=["udp", "esp", "50"],
        ),
    ],
    dport: _Port = None,
    sport: Annotated[
        int | None, Query(ge=0, le=65535, description=f"for udp and tcp; else {SOURCE_PORT}")
    ] = None,
    now: Annotated[
        Moment | None,
        Query(description="judge as of this moment", examples=["2026-12-01T00:00:00Z"]),
    ] = None,
) -> Asked:
    try:
        packet = question(src, dst, proto, sport, dport)
    except PolicyError as error:
        raise RefusedError("that is no packet to ask about", "", error.problems) from None
    return Asked(dict(packet.to_json()), now)


@router.get(
    "/{name}/explain",
    dependencies=[Depends(needs(Permission.READ))],
    response_model=AccountView,
)
async def explain(
    request: Request,
    registry: RegistryOf,
    caller: CallerOf,
    name: RouterName,
    asked: Annotated[Asked, Depends(packet_of)],
    wait: Annotated[
        float, Query(ge=0, le=30, description="wait so many seconds for the router's answer")
    ] = 10,
) -> Response:
    """What becomes of a packet on this router, and why: its agent runs the packet through the
    program that it has loaded. Nothing is sent or counted, and it is no change.

    409 where the router is away, 504 where it does not answer in time, 429 beyond 30 questions a
    minute of one caller, 60 to one router, and 600 in all.
    """
    desk: Desk = request.app.state.desk
    patience = timedelta(seconds=wait)
    number = await run_in_threadpool(questions.ask, registry, caller, name, asked, patience)
    try:
        await _answered(request, desk, number, wait)
    finally:
        outcome = await to_its_end(partial(questions.close, registry, caller, number))
    found = await run_in_threadpool(questions.said, registry, name, outcome)
    return answer(AccountView.model_validate(found))


async def _answered(request: Request, desk: Desk, number: int, seconds: float) -> None:
    """Ends early once nobody listens any more."""
    answered = asyncio.create_task(desk.wait(number, seconds))
    gone = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        answered.cancel()
        gone.cancel()


@router.get(
    "/{name}/questions",
    dependencies=[Depends(needs(Permission.REPORT))],
    response_model=QuestionList,
)
def take_questions(registry: RegistryOf, caller: CallerOf, name: RouterName) -> Response:
    """What the router is asked and did not fetch yet, eight at most. Lines of
    `/v1/allowlist/changes` say in `asked` that there is something."""
    items = [
        QuestionView.model_validate({"id": number, **content})
        for number, content in questions.take(registry, caller, name)
    ]
    return answer(QuestionList(items=items))


@router.put(
    "/{name}/questions/{id}",
    dependencies=[Depends(needs(Permission.REPORT))],
    status_code=204,
)
async def answer_question(
    request: Request,
    registry: RegistryOf,
    caller: CallerOf,
    name: RouterName,
    id: _Number,  # noqa: A002  # as it stands in the path
    body: QuestionAnswer,
) -> None:
    """The router's own answer, which is handed to whoever waits for it. 404 where nobody does."""
    content = body.model_dump(mode="json", exclude_none=False)
    await run_in_threadpool(questions.answer, registry, caller, name, id, content)
    request.app.state.desk.announce()
