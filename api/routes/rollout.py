"""/v1/rollout: canaries first, then the rest."""

from dataclasses import replace

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import impact, release, rollout
from api.registry.core import Read, Registry, Write
from api.registry.foreseen import Foreseen
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, OnceOf, answer
from api.routes.impact_models import ImpactView
from api.routes.previews import DryRun, for_any
from api.routes.revision_models import (
    Confirmation,
    ReleasePreview,
    RolledBack,
    RolloutView,
    Rule,
)

router = APIRouter(prefix="/v1/rollout", tags=["roll-out"])
reads = Depends(needs(Permission.READ))
changes = Depends(needs(Permission.ROLLOUT))


def _show(registry: Registry) -> Response:
    with registry.read() as read:
        found = rollout.progress(read)
        version = rollout.version(read)
    return answer(RolloutView.of(found, read.head.revision), version=version)


@router.get("", dependencies=[reads], response_model=RolloutView)
def show_rollout(registry: RegistryOf) -> Response:
    """What waits for a release, and how the canaries bear it."""
    return _show(registry)


@router.put("", dependencies=[changes], response_model=RolloutView)
def set_rollout(
    registry: RegistryOf, caller: CallerOf, expected: ExpectedOf, body: Rule
) -> Response:
    """From now on a change goes to canaries first, and to the rest after a time or a word.

    By itself it goes on only once all canaries that ever reported have it in force, and none is
    silent or has other trouble.
    """
    with registry.write(caller.actor, "a staged roll-out is set") as write:
        rollout.set_rule(write, expected, body.canaries, body.hold)
    return _show(registry)


@router.delete(
    "",
    dependencies=[changes],
    status_code=204,
    response_model=None,
    responses={200: {"model": ReleasePreview, "description": "Of a dry run"}},
)
def end_rollout(
    registry: RegistryOf, caller: CallerOf, expected: ExpectedOf, dry_run: DryRun = False
) -> Response:
    """From now on a change goes to all routers at once; so does what waits."""
    if dry_run:
        with registry.read() as read:
            rollout.rule_of(read)
            for_any(expected).check(rollout.version(read), "the roll-out")
            return _preview(read, read.head.revision)
    with registry.write(caller.actor, "the staged roll-out is ended") as write:
        rollout.end(write, expected)
    return Response(status_code=204)


@router.post("/confirm", dependencies=[changes], response_model=RolloutView | ReleasePreview)
def confirm_rollout(
    registry: RegistryOf, once: OnceOf, body: Confirmation, dry_run: DryRun = False
) -> Response:
    """Releases what waits to the rest, up to a revision."""
    if dry_run:
        with registry.read() as read:
            rollout.check_pending(read, body.revision)
            return _preview(read, body.revision)

    def work(write: Write) -> Response:
        rollout.confirm(write, body.revision)
        return Response()

    once(f"revision {body.revision} is confirmed", body, work)
    return _show(registry)


@router.post("/abort", dependencies=[changes], response_model=RolledBack)
def abort_rollout(registry: RegistryOf, once: OnceOf, dry_run: DryRun = False) -> Response:
    """Takes back what waits: the canaries go back to what the rest has, in a new revision."""
    if dry_run:
        with registry.read() as read:
            foreseen = Foreseen(read.now)
            planned = rollout.plan_abort(replace(read, foreseen=foreseen))
            would = ImpactView.of(impact.of(read, foreseen))
        return answer(RolledBack.of(planned, read.head.revision, would))

    def work(write: Write) -> Response:
        found = rollout.abort(write)
        # The revision that this transaction makes.
        revision = write.head.revision + 1
        return answer(RolledBack.of(found, revision))

    return once("the roll-out is aborted", None, work)


def _preview(read: Read, revision: int) -> Response:
    would = ImpactView.of(impact.of(read, release.foresee(read, revision)))
    return answer(ReleasePreview(revision=revision, impact=would))
