"""/v1/routers"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.auth import NEEDS_TOKEN, CallerOf, RegistryOf, ReporterOf, needs
from api.gathered import Gathered
from api.registry import carriage, impact, routers
from api.registry.core import Read, Write
from api.registry.permissions import Permission
from api.registry.reports import Proof, Said
from api.registry.standing import standings
from api.routes.carriage_models import RouterPreview
from api.routes.conventions import ExpectedOf, Limit, NameCursor, NamePrefix, OnceOf, answer
from api.routes.impact_models import ImpactView
from api.routes.previews import DryRun, for_any
from api.routes.router_models import (
    NewRouter,
    RouterPage,
    RouterPatch,
    RouterReport,
    RouterView,
)
from policy.document import Name
from policy.labels import LABELS_PER_ROUTER, Label
from policy.window import rfc3339

router = APIRouter(prefix="/v1/routers", tags=["routers"])
reads = Depends(needs(Permission.READ))
writes = Depends(needs(Permission.ROUTERS))
RouterName = Annotated[Name, Path()]


def _view(read: Read, name: str) -> tuple[RouterView, int]:
    found = routers.get(read, name)
    (standing,) = standings(read, [found])
    return RouterView.of(standing), found.version


@router.get("", dependencies=[reads], response_model=RouterPage)
def list_routers(
    registry: RegistryOf,
    name_prefix: NamePrefix = None,
    label: Annotated[
        tuple[Label, ...],
        Query(max_length=LABELS_PER_ROUTER, description="key=value, repeatable: those with all"),
    ] = (),
    cursor: NameCursor = None,
    limit: Limit = 100,
) -> Response:
    """All routers by name: how each stands, with its latest report."""
    labelled = dict(each.split("=") for each in label)
    with registry.read() as read:
        prefix = name_prefix or ""
        found = routers.page(read, cursor or "", limit + 1, prefix=prefix, labelled=labelled)
        items = [RouterView.of(each) for each in standings(read, found[:limit])]
    return answer(RouterPage(items=items, next=items[-1].name if len(found) > limit else None))


@router.post("", dependencies=[writes], response_model=RouterView, status_code=201)
def add_router(once: OnceOf, body: NewRouter) -> Response:
    """A router that may follow, with its labels. A token for it is made by itself."""

    def work(write: Write) -> Response:
        made = routers.create(write, body.name, body.labels)
        (standing,) = standings(write, [made])
        response = answer(RouterView.of(standing), 201, made.version)
        response.headers["Location"] = f"/v1/routers/{made.name}"
        return response

    return once(f"router {body.name} added", body, work)


@router.get("/{name}", dependencies=[reads], response_model=RouterView)
def show_router(registry: RegistryOf, name: RouterName) -> Response:
    """One router: how it stands, with its latest report."""
    with registry.read() as read:
        view, version = _view(read, name)
    return answer(view, version=version)


@router.patch("/{name}", dependencies=[writes], response_model=RouterView | RouterPreview)
def label_router(
    registry: RegistryOf,
    caller: CallerOf,
    name: RouterName,
    expected: ExpectedOf,
    body: RouterPatch,
    dry_run: DryRun = False,
) -> Response:
    """Other labels, and with them other gateways, which it gets as a change."""
    if dry_run:
        with registry.read() as read:
            found = carriage.relabelled(read, name, for_any(expected), body.labels)
            would = ImpactView.of(impact.of(read, found.foreseen))
        return answer(RouterPreview.of(found, would))
    with registry.write(caller.actor, f"router {name} labelled") as write:
        routers.relabel(write, name, expected, body.labels)
    with registry.read() as read:
        view, version = _view(read, name)
    return answer(view, version=version)


@router.delete("/{name}", dependencies=[writes], status_code=204)
def remove_router(
    registry: RegistryOf, caller: CallerOf, name: RouterName, expected: ExpectedOf
) -> None:
    """Its tokens end with it. What it has in force stays in force there."""
    with registry.write(caller.actor, f"router {name} removed") as write:
        routers.remove(write, name, expected)


@router.put("/{name}/report", status_code=204, openapi_extra=NEEDS_TOKEN)
async def report(
    request: Request,
    registry: RegistryOf,
    caller: ReporterOf,
    name: RouterName,
    body: RouterReport,
    response: Response,
) -> None:
    """Keeps what a router says of itself. One about another registry is kept out.

    One that is ahead of this registry lifts it where `word` shows that it was there before it was
    restored; else it is answered with 409, and an admin lifts it.

    `Peergate-Time` in the answer is the registry's time.
    """
    content = body.model_dump(mode="json", exclude={"word"})
    word = body.word
    proof = None if word is None else Proof(word.statement, word.signature)
    gathered: Gathered[Said] = request.app.state.reports
    await gathered.do(Said(caller, name, body.registry, body.revision, content, proof))
    response.headers["Peergate-Time"] = str(rfc3339(registry.clock()))
