"""Bearer tokens of the operator's identity provider (OpenID Connect), beside our own."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import httpx
import jwt

from api.errors import ForbiddenError, SettingsError, UnavailableError
from api.oidc_settings import OidcSettings, check_fetched
from api.records import Json, Origin, Role
from api.registry.permissions import Caller
from policy.document import printable

_log = logging.getLogger("peergate.api")

# Signed by a private key alone: with none of these can a public key be taken for a shared secret.
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_SHORTEST_RSA = 2048
_CLOCKS_DIFFER = 30.0
# Keys are fetched anew after so many seconds, used for so long if that fails, and, for a key that
# is not known or while the provider is away, asked for no more often.
_FRESH = 3600.0
_USED = 86400.0
_AGAIN = 10.0
_TIMEOUT = 5.0
_LARGEST = 1024 * 1024
_LONGEST = 16 * 1024


class AwayError(Exception):
    """The provider did not say what it was asked."""


class Oidc:
    """Lives on one event loop. Waiting for the identity provider takes no thread."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._about: dict[str, Json] = {}
        self._fetched = self._tried = -_USED
        self._fetching = asyncio.Lock()

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    async def about(self, what: str) -> str:
        """An address, as the provider itself says it. Raises UnavailableError."""
        await self._look(lambda: what not in self._about)
        where = str(self._about.get(what))
        try:
            check_fetched(what, where)
        except SettingsError as error:
            raise UnavailableError(str(error), "identity-provider-away") from error
        return where

    async def caller(
        self, text: str, origin: Origin, *, client: str | None = None, nonce: str | None = None
    ) -> Caller | None:
        """Whoever holds this token; None where it is not, or no longer, good. One that is for a
        client has the nonce with which it was asked for.

        Raises UnavailableError while no keys are known, ForbiddenError for one without a role.
        """
        if len(text) > _LONGEST:
            return None
        try:
            header = jwt.get_unverified_header(text)
            key = await self._key(header.get("kid"))
            # What signs is what the key is for, never what the token says.
            if key is None or header.get("alg") != key.algorithm_name or "crit" in header:
                return None
            claims: dict[str, Json] = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=client or self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_CLOCKS_DIFFER,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            expires = datetime.fromtimestamp(claims["exp"], UTC)
        except (jwt.PyJWTError, ValueError, OverflowError) as error:
            _log.info("a token of the identity provider is refused: %s", error)
            return None
        subject = claims["sub"]
        if not _is_shown(subject) or claims.get("nonce") != (nonce or claims.get("nonce")):
            return None
        identity = f"{self._settings.issuer}#{subject}"
        name = claims.get(self._settings.name_claim)
        shown = f"{name} ({identity})" if _is_shown(name) else identity
        return Caller(None, shown, self._role(claims, shown), origin, None, expires, identity)

    def _role(self, claims: dict[str, Json], shown: str) -> Role:
        claim = self._settings.role_claim
        held = _found(claims, claim)
        values = held if isinstance(held, list) else [held]
        for value, role in self._settings.roles:
            if value in values:
                return role
        raise ForbiddenError(
            f"{shown}: no value of the claim {claim!r} stands for a role here: see "
            "PEERGATE_OIDC_ROLES"
        )

    async def _key(self, kid: str | None) -> jwt.PyJWK | None:
        if kid in self._keys and time.monotonic() - self._fetched < _FRESH:
            return self._keys[kid]
        await self._look(lambda: kid not in self._keys)
        return self._keys.get(kid)

    async def _look(self, lacking: Callable[[], bool]) -> None:
        """Asks the provider for what is old, or lacking."""
        async with self._fetching:
            now = time.monotonic()
            wanted = lacking() or now - self._fetched >= _FRESH
            if wanted and now - self._tried >= _AGAIN:
                self._tried = now
                try:
                    self._keys = await self._fetch()
                    self._fetched = time.monotonic()
                except AwayError as error:
                    _log.warning("the identity provider's keys cannot be had: %s", error)
            if now - self._fetched >= _USED:
                raise UnavailableError(
                    "the identity provider's keys are not known, so its tokens cannot be judged: "
                    "try again; peergate's own tokens work",
                    "identity-provider-away",
                )

    async def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        """By key id. One key without an id is found by tokens that name none."""
        issuer = self._settings.issuer
        about = await ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if about.get("issuer") != issuer:
            raise AwayError(f"{issuer} calls itself {about.get('issuer')}")
        where = str(about.get("jwks_uri"))
        try:
            check_fetched("jwks_uri", where)
        except SettingsError as error:
            raise AwayError(str(error)) from error
        found = await ask(where)
        listed = found.get("keys")
        keys = [each for each in map(_usable, listed if isinstance(listed, list) else []) if each]
        if not keys:
            raise AwayError(f"{where}: no key there that could be used")
        self._about = about
        return {key.key_id: key for key in keys}


def _usable(content: Json) -> jwt.PyJWK | None:
    if not isinstance(content, dict) or content.get("use", "sig") != "sig":
        return None
    kind = str(content.get("kty"))
    algorithm = _ALGORITHMS.get((kind, None if kind == "RSA" else str(content.get("crv"))))
    if algorithm is None or content.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(content, algorithm)
    except (jwt.PyJWTError, ValueError) as error:
        _log.warning("a key of the identity provider cannot be used: %s", error)
        return None
    short = kind == "RSA" and key.key.key_size < _SHORTEST_RSA
    return None if short else key


def _is_shown(claim: Json) -> bool:
    """Whether it can stand in the audit trail."""
    if not isinstance(claim, str) or not 1 <= len(claim) <= 255:
        return False
    try:
        printable(claim)
    except ValueError:
        return False
    return True


def _found(claims: dict[str, Json], path: str) -> Json:
    """The claim of that name; else, as in realm_access.roles, one inside another."""
    if path in claims:
        return claims[path]
    found: Json = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


async def ask(url: str, form: Mapping[str, str] | None = None) -> dict[str, Json]:
    """What the provider answers; with a form, to a POST of it. Raises AwayError."""
    # The system's authorities, and those that SSL_CERT_FILE names.
    async with httpx.AsyncClient(
        trust_env=False, verify=ssl.create_default_context(), timeout=_TIMEOUT
    ) as http:
        try:
            async with asyncio.timeout(_TIMEOUT):
                content = await _content(http, url, form)
        except (TimeoutError, httpx.HTTPError) as error:
            raise AwayError(str(error) or type(error).__name__) from error
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise AwayError(f"{url}: no JSON object")
    return found


async def _content(http: httpx.AsyncClient, url: str, form: Mapping[str, str] | None) -> bytes:
    content = b""
    method = "GET" if form is None else "POST"
    async with http.stream(method, url, data=form) as response:
        if response.status_code != httpx.codes.OK:
            raise AwayError(f"{url}: answered {response.status_code}")
        async for part in response.aiter_bytes():
            content += part
            if len(content) > _LARGEST:
                raise AwayError(f"{url}: more than {_LARGEST} bytes")
    return content
