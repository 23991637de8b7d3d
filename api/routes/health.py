"""/healthz, /readyz and /v1/status"""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import database
from api.auth import CallerOf, RegistryOf, needs
from api.errors import SettingsError, UnavailableError
from api.registry import status
from api.registry.permissions import Permission
from api.routes.conventions import answer
from api.routes.models import Health, Status

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """The process answers, also while all its threads wait for the database."""
    return answer(Health(status="ok"))


@router.get("/readyz", response_model=Health)
def readyz(request: Request, registry: RegistryOf) -> Response:
    """The database answers too, and has the schema that this version needs."""
    try:
        database.check(registry.store, request.app.state.settings)
    except SettingsError as error:
        raise UnavailableError(str(error), "not-ready") from error
    return answer(Health(status="ok"))


@router.get("/v1/status", dependencies=[Depends(needs(Permission.FOLLOW))], response_model=Status)
def show_status(registry: RegistryOf, caller: CallerOf) -> Response:
    """Where the registry stands. How much it holds is not for the token of a router."""
    with registry.read() as read:
        found = None if caller.router is not None else status.status(read)
    return answer(
        Status(
            registry=read.head.registry,
            revision=read.head.revision,
            time=read.now,
            version=status.version(),
            gateways=None if found is None else found.gateways,
            peers=None if found is None else found.peers,
            routers=None if found is None else found.routers,
        )
    )
