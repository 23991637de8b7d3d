"""What an import is answered."""

from pydantic import BaseModel, Field

from api.routes.impact_models import ImpactView


class PeersImported(BaseModel):
    added: int
    changed: int
    approved: int = Field(description="they were pending")
    revoked: int
    unchanged: int
    ended: int = Field(description="lines of rejected and revoked peers, which are left out")


class GatewaysImported(BaseModel):
    added: int
    changed: int
    removed: int


class Imported(BaseModel):
    dry_run: bool
    revision: int
    etag: str = Field(description="of the policy, as it is now")
    lines: int
    peers: PeersImported
    gateways: GatewaysImported
    warnings: list[str]
    impact: ImpactView | None = Field(description="of a dry run: what it would do to sources")
