"""An identity provider on loopback, which signs with keys of its own."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
            if self.path.endswith("/openid-configuration"):
                said: dict[str, Any] = {
                    "issuer": issuer.calls_itself or issuer.url,
                    "jwks_uri": f"{issuer.url}/keys",
                }
            else:
                issuer.asked += 1
                said = issuer.published()
            self.send_response(503 if issuer.away else 200)
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
