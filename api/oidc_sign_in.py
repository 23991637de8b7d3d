"""Signing in at the page through the identity provider: authorization code, with PKCE."""

import base64
import hashlib
import logging
import secrets
from dataclasses import astuple, dataclass
from typing import Self
from urllib.parse import urlencode

from api.oidc import AwayError, Oidc, ask
from api.oidc_settings import SignInSettings
from api.records import Origin
from api.registry.permissions import Caller

_log = logging.getLogger("peergate.api")

# Where the provider sends people back to.
BACK = "/sign-in/done"


@dataclass(frozen=True, slots=True)
class Begun:
    """What ties the provider's answer to the browser that asked: it keeps this meanwhile."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Self:
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @classmethod
    def read(cls, text: str) -> Self | None:
        parts = text.split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    @property
    def written(self) -> str:
        return ".".join(astuple(self))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class SignIn:
    """One client of the provider."""

    def __init__(self, oidc: Oidc, settings: SignInSettings) -> None:
        self._oidc = oidc
        self._settings = settings
        self.secure = settings.url.startswith("https://")

    @property
    def issuer(self) -> str:
        return self._oidc.issuer

    async def address(self, begun: Begun) -> str:
        """Where a browser asks the provider. Raises UnavailableError."""
        where = await self._oidc.about("authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": f"{self._settings.url}{BACK}",
            "scope": self._settings.scope,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"

    async def caller(self, begun: Begun, code: str, origin: Origin) -> Caller | None:
        """Whom the provider means by this code; None where it means nobody.

        Raises UnavailableError, and ForbiddenError for one without a role.
        """
        where = await self._oidc.about("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": f"{self._settings.url}{BACK}",
            "client_id": self._settings.client_id,
            "code_verifier": begun.verifier,
        }
        if self._settings.client_secret is not None:
            form["client_secret"] = self._settings.client_secret
        try:
            said = await ask(where, form)
        except AwayError as error:
            _log.warning("the identity provider gives no token for a code: %s", error)
            return None
        return await self._oidc.caller(
            str(said.get("id_token")),
            origin,
            client=self._settings.client_id,
            nonce=begun.nonce,
        )
