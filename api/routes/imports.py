"""/v1/peers/import and /v1/policy/import: lines of any number, whole or not at all"""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import CallerOf, needs
from api.errors import RefusedError
from api.records import State
from api.registry import imports, matching
from api.registry.core import Read, Registry, Write
from api.registry.imports import Counts, Tell
from api.registry.lines import Lines
from api.registry.matching import GatewayCounts
from api.registry.permissions import Caller, Permission
from api.routes.conventions import ExpectedOf
from api.routes.imports_models import Imported
from api.routes.intake import Done, IntakeOf, Job
from api.routes.streams import NDJSON
from policy.errors import Problem

PEERS, POLICY = PATHS = ("/v1/peers/import", "/v1/policy/import")
router = APIRouter(tags=["peers"])
DryRun = Annotated[
    bool, Query(description="only say what would change, and who would be cut off or let in")
]


def _lines(description: str) -> dict[str, object]:
    schema = {"type": "string", "description": description}
    return {"requestBody": {"required": True, "content": {NDJSON: {"schema": schema}}}}


@router.post(
    PEERS,
    dependencies=[Depends(needs(Permission.REQUEST))],
    response_model=Imported,
    openapi_extra=_lines("a peer a line, as POST /v1/peers takes it or the export gives it"),
)
async def import_peers(
    caller: CallerOf,
    intake: IntakeOf,
    expected: ExpectedOf,
    mode: Annotated[
        Literal["add", "replace"],
        Query(description="`replace` revokes approved peers that no line names"),
    ] = "add",
    state: Annotated[
        Literal["pending", "approved", "kept"] | None,
        Query(description="what they become; `kept`: what each line says"),
    ] = None,
    terms: Annotated[
        str | None,
        Query(max_length=64, description="the version of the terms of use acknowledged, for all"),
    ] = None,
    dry_run: DryRun = False,
) -> Response:
    """Takes many peers as lines of JSON, in one revision, whole or not at all.

    Peers become pending, unless `state` says otherwise and the caller may decide. Lines of peers
    that were rejected or revoked are left out. With `Accept: application/x-ndjson` the answer
    tells how far the import has come, a line at least every second, and the last line has
    `result` or `problem`.
    """
    if mode == "replace":
        caller.require(Permission.POLICY)
        if state not in (None, "approved"):
            rule = "what replaces the approved peers is approved"
            raise RefusedError("this cannot be", "", (Problem("state", state, rule),))
        job = Job(
            "approved peers imported", _check_gateways, partial(_replace, caller=caller), expected
        )
        return await intake(job, state=State.APPROVED, dry_run=dry_run)
    if state in ("approved", "kept"):
        caller.require(Permission.DECIDE)
    become = None if state == "kept" else State(state or "pending")
    check = partial(imports.check_new, caller=caller, terms=terms)
    job = Job("peers imported", check, partial(_add, caller=caller, terms=terms))
    return await intake(job, state=become, dry_run=dry_run)


@router.post(
    POLICY,
    dependencies=[Depends(needs(Permission.POLICY))],
    response_model=Imported,
    tags=["policy"],
    openapi_extra=_lines('{"gateway": {...}} or {"peer": {...}} a line, in any order'),
)
async def import_policy(
    caller: CallerOf, intake: IntakeOf, expected: ExpectedOf, dry_run: DryRun = False
) -> Response:
    """What PUT /v1/policy does, of a policy of any length. It answers as /v1/peers/import."""
    job = Job(
        "policy imported", _check_policy, partial(matching.match_policy, caller=caller), expected
    )
    return await intake(job, state=None, dry_run=dry_run, policy=True)


def _add(
    state: Read | Write, lines: Lines, tell: Tell, *, caller: Caller, terms: str | None
) -> Done:
    if isinstance(state, Write):
        return imports.add(state, lines, tell, caller=caller, terms=terms), GatewayCounts()
    if state.foreseen is not None:
        imports.foresee(state.foreseen, lines, tell)
    return Counts(added=lines.peers, ended=lines.ended), GatewayCounts()


def _check_gateways(registry: Registry, lines: Lines, _tell: Tell) -> None:
    with registry.read() as read:
        matching.check_gateways(read, lines)


def _replace(state: Read | Write, lines: Lines, tell: Tell, *, caller: Caller) -> Done:
    return matching.match_peers(state, lines, tell, caller=caller), GatewayCounts()


def _check_policy(_registry: Registry, lines: Lines, _tell: Tell) -> None:
    matching.check_policy(lines)
