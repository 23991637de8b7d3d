"""/v1/policy"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.auth import CallerOf, RegistryOf, needs
from api.registry import gateways, impact, policy
from api.registry.core import Read
from api.registry.permissions import Permission
from api.routes.conventions import ExpectedOf, answer
from api.routes.export import policy_as_json, policy_as_yaml
from api.routes.impact_models import ImpactView
from api.routes.models import Applied, DifferenceView
from api.routes.streams import StreamedOf
from policy.document import Policy

YAML = "application/yaml"
router = APIRouter(prefix="/v1/policy", tags=["policy"])


class AppliedPolicy(Applied):
    impact: ImpactView | None = Field(description="of a dry run: what it would do to sources")


@router.get(
    "",
    dependencies=[Depends(needs(Permission.READ))],
    response_model=Policy,
    responses={200: {"content": {YAML: {"schema": {"type": "string"}}}}},
)
def export_policy(request: Request, streamed: StreamedOf) -> Response:
    """All gateways and all approved peers, as one document that PUT takes back.

    `Accept: application/yaml` gives it as a policy file.
    """
    if _wants_yaml(request.headers.get("Accept", "")):
        return streamed(policy_as_yaml, YAML, _etag)
    return streamed(policy_as_json, "application/json", _etag)


def _etag(read: Read) -> dict[str, str]:
    return {"ETag": f'"{read.head.policy_version}"', "Vary": "Accept"}


def _wants_yaml(accept: str) -> bool:
    """Where both are named, JSON is the answer."""
    wanted = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return YAML in wanted and not wanted & {"*/*", "application/*", "application/json"}


@router.put("", dependencies=[Depends(needs(Permission.POLICY))], response_model=AppliedPolicy)
def apply_policy(
    registry: RegistryOf,
    caller: CallerOf,
    expected: ExpectedOf,
    body: Policy,
    dry_run: Annotated[
        bool, Query(description="only say what would change, and who would be cut off or let in")
    ] = False,
) -> Response:
    """Makes the registry match the document, whole or not at all, in one revision.

    Approved peers that it does not name are revoked; pending ones are left alone. `If-Match`
    is needed unless this is a dry run.
    """
    if dry_run:
        with registry.read() as read:
            compared = policy.compare(read, body, caller)
            would = ImpactView.of(impact.of(read, compared.foresee(read.now)))
            revision = read.head.revision
            version = read.head.policy_version
    else:
        would = None
        with registry.write(caller.actor, "policy applied") as write:
            compared = policy.apply(write, body, expected, caller)
        revision = write.head.revision
        version = write.head.policy_version
    applied = AppliedPolicy(
        dry_run=dry_run,
        revision=revision,
        changes=[DifferenceView.of(difference) for difference in compared.differences],
        warnings=[*gateways.warnings(*body.gateways), *compared.kept],
        impact=would,
    )
    return answer(applied, version=version)
