"""/v1/rollout: canaries first, then the rest."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import rollout
from api.registry.core import Registry, Write
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, OnceOf, answer
from api.routes.revision_models import Confirmation, RolledBack, RolloutView, Rule

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


@router.delete("", dependencies=[changes], status_code=204)
def end_rollout(registry: RegistryOf, caller: CallerOf, expected: ExpectedOf) -> None:
    """From now on a change goes to all routers at once; so does what waits."""
    with registry.write(caller.actor, "the staged roll-out is ended") as write:
        rollout.end(write, expected)


@router.post("/confirm", dependencies=[changes], response_model=RolloutView)
def confirm_rollout(registry: RegistryOf, once: OnceOf, body: Confirmation) -> Response:
    """Releases what waits to the rest, up to a revision."""

    def work(write: Write) -> Response:
        rollout.confirm(write, body.revision)
        return Response()

    once(f"revision {body.revision} is confirmed", body, work)
    return _show(registry)


@router.post("/abort", dependencies=[changes], response_model=RolledBack)
def abort_rollout(once: OnceOf) -> Response:
    """Takes back what waits: the canaries go back to what the rest has, in a new revision."""

    def work(write: Write) -> Response:
        found = rollout.abort(write)
        # The revision that this transaction makes.
        revision = write.head.revision + 1
        return answer(RolledBack.of(found, revision))

    return once("the roll-out is aborted", None, work)
