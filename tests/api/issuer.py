"""An identity provider on loopback, which signs with keys of its own."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "peergate"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_WRITTEN: dict[str, Any] = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


def new_key(algorithm: str, bits: int = 2048) -> Key:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, bits)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


class Issuer:
    """`keys` are those that it publishes, by id; `asked` is how often they were fetched."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, tuple[str, Key]] = {}
        self.others: list[dict[str, Any]] = []
        self.away = False
        self.calls_itself: str | None = None
        self.asked = 0
        # Whoever is signed in there, and what was said when a code was asked for.
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.secret: str | None = None

    def add(self, kid: str, algorithm: str, bits: int = 2048) -> None:
        self.keys[kid] = (algorithm, new_key(algorithm, bits))

    def claims(self, **claims: object) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "u-1",
            "iat": now,
            "exp": now + 300,
            "groups": ["staff", "viewers"],
            "preferred_username": "alice",
        } | claims

    def token(self, kid: str, **claims: object) -> str:
        algorithm, key = self.keys[kid]
        held = {name: value for name, value in self.claims(**claims).items() if value is not None}
        return jwt.encode(held, key, algorithm, {"kid": kid})

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent: with a code, for somebody is signed in here already."""
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"], "session_state": "x"})
        return f"{asked['redirect_uri']}?{back}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        """A code is good once, for whoever asked for it."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or asked["code_challenge"] != challenge
            or any(asked[each] != form[each] for each in ("client_id", "redirect_uri"))
            or form.get("client_secret") != self.secret
        ):
            return None
        claims = {"aud": asked["client_id"], "nonce": asked["nonce"]} | self.person
        kid = next(iter(self.keys))
        return {"access_token": "x", "token_type": "Bearer", "id_token": self.token(kid, **claims)}

    def published(self) -> dict[str, Any]:
        listed = [
            json.loads(_WRITTEN[algorithm].to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}
            for kid, (algorithm, key) in self.keys.items()
        ]
        return {"keys": [*listed, *self.others]}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", issuer.authorize(dict(parse_qsl(parts.query))))
                self.end_headers()
                return
            if self.path.endswith("/openid-configuration"):
                said: dict[str, Any] = {
                    "issuer": issuer.calls_itself or issuer.url,
                    "jwks_uri": f"{issuer.url}/keys",
                    "authorization_endpoint": f"{issuer.url}/authorize",
                    "token_endpoint": f"{issuer.url}/token",
                }
            else:
                issuer.asked += 1
                said = issuer.published()
            self._say(503 if issuer.away else 200, said)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            said = issuer.exchange(dict(parse_qsl(sent)))
            self._say(400 if said is None else 200, said or {"error": "invalid_grant"})

        def _say(self, status: int, said: dict[str, Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
