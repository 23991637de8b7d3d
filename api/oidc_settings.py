"""Whose tokens are taken beside our own, and what they may do: read once from the environment."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from api.errors import SettingsError
from api.records import Role

_ROLE_CLAIM = "groups"
_NAME_CLAIM = "preferred_username"
_EXAMPLE = "as in registry-admins=admin,registry-readers=viewer"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`roles`: values of the claim, and what they may do; the first that a token has counts."""

    issuer: str
    audience: str
    roles: tuple[tuple[str, Role], ...]
    role_claim: str = _ROLE_CLAIM
    name_claim: str = _NAME_CLAIM

    @classmethod
    def from_environment(cls) -> Self | None:
        """PEERGATE_OIDC_ISSUER, _AUDIENCE, _ROLES, _ROLE_CLAIM, _NAME_CLAIM."""
        issuer = os.environ.get("PEERGATE_OIDC_ISSUER", "")
        audience = os.environ.get("PEERGATE_OIDC_AUDIENCE", "")
        roles = os.environ.get("PEERGATE_OIDC_ROLES", "")
        if not (issuer or audience or roles):
            return None
        if not (issuer and audience and roles):
            raise SettingsError(
                "PEERGATE_OIDC_ISSUER, PEERGATE_OIDC_AUDIENCE and PEERGATE_OIDC_ROLES go together: "
                "give all three, or none"
            )
        check_fetched("PEERGATE_OIDC_ISSUER", issuer)
        return cls(
            issuer=issuer,
            audience=audience,
            roles=tuple(_role(each.strip()) for each in roles.split(",")),
            role_claim=os.environ.get("PEERGATE_OIDC_ROLE_CLAIM") or _ROLE_CLAIM,
            name_claim=os.environ.get("PEERGATE_OIDC_NAME_CLAIM") or _NAME_CLAIM,
        )


def check_fetched(what: str, url: str) -> None:
    """Raises SettingsError unless it is https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise SettingsError(f"{what}: {url}: must start with https://")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _role(text: str) -> tuple[str, Role]:
    value, equals, name = text.rpartition("=")
    # A router and a peer's owner have tokens of their own, which say whose they are.
    if not equals or not value or name not in set(Role) - {Role.AGENT, Role.OWNER}:
        raise SettingsError(f"PEERGATE_OIDC_ROLES: {text}: must be VALUE=ROLE, {_EXAMPLE}")
    return value, Role(name)
