"""Whose tokens are taken beside our own, and what they may do: read once from the environment."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from api.errors import SettingsError
from api.records import Role

_ROLE_CLAIM = "groups"
_NAME_CLAIM = "preferred_username"
_SCOPE = "openid profile"
_EXAMPLE = "as in registry-admins=admin,registry-readers=viewer"


@dataclass(frozen=True, slots=True)
class SignInSettings:
    """As whom the registry asks the provider for people at its page. `url` is where they find that
    page: scheme, host and port. Without a secret it is a public client."""

    client_id: str
    url: str
    client_secret: str | None = None
    scope: str = _SCOPE

    @classmethod
    def from_environment(cls) -> Self | None:
        """PEERGATE_OIDC_CLIENT_ID, _CLIENT_SECRET_FILE, _SCOPE, and PEERGATE_PAGE_URL."""
        client = os.environ.get("PEERGATE_OIDC_CLIENT_ID", "")
        url = os.environ.get("PEERGATE_PAGE_URL", "").rstrip("/")
        if not client:
            return None
        if not url:
            raise SettingsError(
                "PEERGATE_PAGE_URL is missing: with PEERGATE_OIDC_CLIENT_ID the provider sends "
                "people back there, as in https://registry.example.net"
            )
        check_fetched("PEERGATE_PAGE_URL", url)
        parts = urlsplit(url)
        if url != f"{parts.scheme}://{parts.netloc}":
            raise SettingsError(f"PEERGATE_PAGE_URL: {url}: the page has no path of its own")
        file = os.environ.get("PEERGATE_OIDC_CLIENT_SECRET_FILE")
        scope = os.environ.get("PEERGATE_OIDC_SCOPE") or _SCOPE
        return cls(client, url, None if file is None else _secret_in(Path(file)), scope)


def _secret_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"PEERGATE_OIDC_CLIENT_SECRET_FILE: {file}: cannot be read: {error.strerror}"
        ) from error


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`roles`: values of the claim, and what they may do; the first that a token has counts.
    Without `sign_in` nobody signs in at the page through the provider."""

    issuer: str
    audience: str
    roles: tuple[tuple[str, Role], ...]
    role_claim: str = _ROLE_CLAIM
    name_claim: str = _NAME_CLAIM
    sign_in: SignInSettings | None = None

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
            sign_in=SignInSettings.from_environment(),
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
