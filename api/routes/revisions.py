"""/v1/revisions and /v1/rollback: what the registry was, and the way back."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import RegistryOf, needs
from api.registry import impact, release, rollback, rollout
from api.registry.core import Write
from api.registry.foreseen import Foreseen
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, Limit, OnceOf, Urgent, answer
from api.routes.impact_models import ImpactView
from api.routes.previews import for_any
from api.routes.revision_models import (
    KeptRevision,
    RevisionPage,
    RevisionView,
    Rollback,
    RolledBack,
)

router = APIRouter(tags=["revisions"])
reads = Depends(needs(Permission.READ))
changes = Depends(needs(Permission.ROLLOUT))
Cursor = Annotated[
    str | None, Query(pattern="^[0-9]{1,16}$", description="`next` of the page before")
]


@router.get("/v1/revisions", dependencies=[reads], response_model=RevisionPage)
def list_revisions(registry: RegistryOf, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """All revisions, the latest first."""
    with registry.read() as read:
        found = rollback.revisions(read, None if cursor is None else int(cursor), limit + 1)
    items = [
        KeptRevision(**RevisionView.of(each).model_dump(), kept=each.revision >= read.head.floor)
        for each in found[:limit]
    ]
    following = str(items[-1].revision) if len(found) > limit else None
    return answer(RevisionPage(items=items, next=following))


@router.post("/v1/rollback", dependencies=[changes], response_model=RolledBack)
def roll_back(
    once: OnceOf,
    expected: ExpectedOf,
    body: Rollback,
    urgent: Urgent = False,
    dry_run: Annotated[
        bool, Query(description="only say what would change, and who would be cut off or let in")
    ] = False,
) -> Response:
    """Makes a new revision with the gateways and approved peers of an earlier one.

    Who was let in since then is revoked, who was revoked since then is approved again. `If-Match`
    is the ETag of `/v1/policy`, or of a dry run; a dry run needs none.
    """
    if dry_run:
        with once.registry.read() as state:
            for_any(expected).check(state.head.policy_version, "the policy")
            foreseen = Foreseen(state.now)
            found = rollback.plan(replace(state, foreseen=foreseen), body.to_revision)
            would = ImpactView.of(impact.of(state, foreseen))
            rest = release.foresee_rollback(state, found) if urgent else None
            on_rest = None if rest is None else ImpactView.of(impact.of(state, rest))
        done = RolledBack.of(found, state.head.revision, would, on_rest)
        return answer(done, version=state.head.policy_version)

    def work(write: Write) -> Response:
        found = rollback.roll_back(write, body.to_revision, expected)
        if urgent:  # the whole of it: parts of two states need not fit together
            rollout.release_all(write, "rollout.release")
        head = write.coming
        return answer(RolledBack.of(found, head.revision), version=head.policy_version)

    return once(f"rollback to revision {body.to_revision}", body, work, urgent=urgent)
