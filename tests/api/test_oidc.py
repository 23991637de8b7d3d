"""Tokens of an identity provider: a real one on loopback, and all that may be wrong with them."""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from api.errors import SettingsError
from api.oidc_settings import OidcSettings
from api.records import Role
from api.settings import Settings
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service
from tests.api.issuer import AUDIENCE, Issuer, issuing, new_key, unsigned

ROLES = (("admins", Role.ADMIN), ("approvers", Role.APPROVER), ("viewers", Role.VIEWER))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        issuer.add("a", "RS256")
        yield issuer


@pytest.fixture
def service(
    start: Callable[[Settings], Service],
    settings: Settings,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
) -> Service:
    # One wrong token after the other comes from here.
    monkeypatch.setattr("api.throttle.FAILURES", 1000)
    return start(replace(settings, oidc=OidcSettings(issuer.url, AUDIENCE, ROLES)))


def get(service: Service, token: str, path: str = "/v1/peers") -> httpx.Response:
    return service.nobody.get(path, headers={"Authorization": f"Bearer {token}"})


def post(service: Service, token: str, path: str, body: object, **headers: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | headers
    return service.nobody.post(path, json=body, headers=headers)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token(service: Service, issuer: Issuer, algorithm: str) -> None:
    issuer.add("b", algorithm)
    assert get(service, issuer.token("b")).status_code == 200
    # What a viewer may not do.
    refused = post(service, issuer.token("b"), "/v1/gateways", gateway())
    assert refused.status_code == 403
    made = post(service, issuer.token("b", groups="admins"), "/v1/gateways", gateway())
    assert made.status_code == 201, made.text
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://id.example.net"},
        {"iss": None},
        {"exp": -3600},
        {"exp": None},
        {"nbf": 3600},
        {"iat": 3600},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_wrong_claims(service: Service, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert get(service, issuer.token("a")).status_code == 200
    now = int(time.time())
    claims = {n: now + v if isinstance(v, int) else v for n, v in claims.items()}
    refused = get(service, issuer.token("a", **claims))
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/invalid-token")


def test_clocks_may_differ_by_a_little(service: Service, issuer: Issuer) -> None:
    now = int(time.time())
    assert get(service, issuer.token("a", exp=now - 10)).status_code == 200
    assert get(service, issuer.token("a", iat=now + 20, nbf=now + 20)).status_code == 200


def test_wrong_signatures(service: Service, issuer: Issuer) -> None:
    issuer.add("e", "ES256")
    good = issuer.token("a")
    assert get(service, good).status_code == 200
    claims = issuer.claims(groups=["admins"])
    _, key = issuer.keys["a"]
    public = key.public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # A public key taken for a shared secret.
    head = {"alg": "HS256", "kid": "a"}
    text = unsigned(head, claims).rpartition(".")[0]
    forged = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    published = dict(issuer.keys)
    issuer.keys["a"] = ("RS256", new_key("RS256"))
    wrong_key = issuer.token("a")
    issuer.keys = published
    crossed = Issuer()
    crossed.url, crossed.keys = issuer.url, {"a": issuer.keys["e"]}
    for wrong in (
        unsigned({"alg": "none", "kid": "a"}, claims),
        unsigned({"alg": "none"}, claims),
        unsigned({"alg": "None", "kid": "a"}, claims),
        unsigned(head, claims, forged),
        wrong_key,
        crossed.token("a"),
        good[:-4] + "AAAA",
        good.replace(".", ".e30.", 1),
        "a.b.c",
        "x" * 20_000,
        ".".join((unsigned({"alg": "RS256", "kid": "a"}, claims).rpartition(".")[0], "")),
        ".".join(
            (*good.split(".")[:1], *unsigned(head, claims).split(".")[1:2], good.split(".")[2])
        ),
    ):
        assert get(service, wrong).status_code == 401, wrong


def test_keys_that_are_not_for_this(service: Service, issuer: Issuer) -> None:
    """A shared secret, one for encryption, one that is too short."""
    issuer.others = [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "o"}]
    issuer.add("short", "RS256", 1024)
    claims = issuer.claims()
    text = unsigned({"alg": "HS256", "kid": "o"}, claims).rpartition(".")[0]
    forged = hmac.new(b"secretsecretsecretsecret", text.encode(), hashlib.sha256).digest()
    assert get(service, unsigned({"alg": "HS256", "kid": "o"}, claims, forged)).status_code == 401
    with pytest.warns(match="below the minimum"):
        short = issuer.token("short")
    assert get(service, short).status_code == 401


def test_keys_rotate(service: Service, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(service, issuer.token("a")).status_code == 200
    old = issuer.token("a")
    del issuer.keys["a"]
    issuer.add("b", "ES256")
    monkeypatch.setattr("api.oidc._AGAIN", 0.0)
    assert get(service, issuer.token("b")).status_code == 200
    assert issuer.asked == 2
    # Not published any more.
    assert get(service, old).status_code == 401
    monkeypatch.setattr("api.oidc._AGAIN", 3600.0)
    asked = issuer.asked
    stray = Issuer()
    stray.url = issuer.url
    for number in range(20):
        stray.add(f"x-{number}", "EdDSA")
        assert get(service, stray.token(f"x-{number}")).status_code == 401
    # Whoever makes up key ids does not make us ask for each.
    assert issuer.asked == asked


def test_the_provider_is_away(
    service: Service, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.oidc._AGAIN", 0.0)
    issuer.away = True
    refused = get(service, issuer.token("a"))
    assert (refused.status_code, refused.json()["type"]) == (
        503,
        "/problems/identity-provider-away",
    )
    assert refused.headers["Retry-After"] == "5"
    assert service.admin.get("/v1/peers").status_code == 200
    issuer.away = False
    assert get(service, issuer.token("a")).status_code == 200
    # With keys that are known it goes on.
    issuer.away = True
    assert get(service, issuer.token("a")).status_code == 200
    monkeypatch.setattr("api.oidc._FRESH", 0.0)
    assert get(service, issuer.token("a")).status_code == 200
    monkeypatch.setattr("api.oidc._USED", 0.0)
    assert get(service, issuer.token("a")).status_code == 503


def test_one_that_calls_itself_otherwise(service: Service, issuer: Issuer) -> None:
    issuer.calls_itself = "https://id.example.net"
    assert get(service, issuer.token("a")).status_code == 503


def test_who_has_no_role_here(service: Service, issuer: Issuer) -> None:
    for groups in ([], ["staff"], None, "staff", {"admins": True}, 7):
        refused = get(service, issuer.token("a", groups=groups))
        assert refused.status_code == 403, groups
    assert f"{issuer.url}#u-1" in refused.json()["detail"]
    # The first that is listed counts.
    both = issuer.token("a", groups=["viewers", "admins"])
    assert post(service, both, "/v1/gateways", gateway()).status_code == 201


def test_a_claim_inside_another(
    start: Callable[[Settings], Service], settings: Settings, issuer: Issuer
) -> None:
    oidc = OidcSettings(issuer.url, AUDIENCE, ROLES, "realm_access.roles", "email")
    service = start(replace(settings, oidc=oidc))
    token = issuer.token("a", groups=None, realm_access={"roles": ["viewers"]})
    assert get(service, token).status_code == 200
    assert get(service, issuer.token("a", realm_access=["viewers"])).status_code == 403


def test_they_are_known_by_issuer_and_subject(service: Service, issuer: Issuer) -> None:
    """Whatever they call themselves: for who did what, for four eyes, and for keys used twice."""
    first = issuer.token("a", groups="admins")
    again = issuer.token("a", groups="admins", preferred_username="admin", jti="2")
    other = issuer.token("a", groups="admins", sub="u-2")
    post(service, first, "/v1/gateways", gateway())
    key = {"Idempotency-Key": "1"}
    made = [post(service, token, "/v1/peers", peer(), **key) for token in (first, again)]
    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert made[0].json()["created_by"] == f"alice ({issuer.url}#u-1)"
    # The other one's key is another one.
    assert post(service, other, "/v1/peers", peer(), **key).status_code == 409
    rules = {"four_eyes": True}
    done = service.admin.patch("/v1/rules", json=rules, headers={"If-Match": "*"})
    assert done.status_code == 200, done.text
    version = {"If-Match": "*"}
    refused = post(service, again, "/v1/peers/1/approve", None, **version)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/four-eyes")
    approved = post(service, other, "/v1/peers/1/approve", None, **version)
    assert approved.status_code == 200, approved.text
    assert approved.json()["decided_by"] == f"alice ({issuer.url}#u-2)"
    trail = service.admin.get("/v1/audit").json()["items"]
    assert {"name": f"alice ({issuer.url}#u-2)", "role": "admin", "token": None} in [
        each["actor"] for each in trail
    ]


def test_a_name_that_cannot_be_shown_is_not(service: Service, issuer: Issuer) -> None:
    token = issuer.token("a", groups="admins", preferred_username="al\0ice")
    made = post(service, token, "/v1/gateways", gateway())
    assert made.status_code == 201, made.text
    (latest, *_) = service.admin.get("/v1/audit").json()["items"]
    assert latest["actor"]["name"] == f"{issuer.url}#u-1"
    assert get(service, issuer.token("a", groups="admins", sub="u\0")).status_code == 401


def test_without_a_provider_such_a_token_is_unknown(
    start: Callable[[Settings], Service], settings: Settings, issuer: Issuer
) -> None:
    service = start(settings)
    assert get(service, issuer.token("a")).status_code == 401
    assert issuer.asked == 0


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().oidc is None
    monkeypatch.setenv("PEERGATE_OIDC_ISSUER", "https://id.example.net")
    with pytest.raises(SettingsError, match="go together"):
        Settings.from_environment()
    monkeypatch.setenv("PEERGATE_OIDC_AUDIENCE", "peergate")
    monkeypatch.setenv("PEERGATE_OIDC_ROLES", "a=b=admin, readers=viewer")
    assert Settings.from_environment().oidc == OidcSettings(
        "https://id.example.net",
        "peergate",
        (("a=b", Role.ADMIN), ("readers", Role.VIEWER)),
        "groups",
        "preferred_username",
    )
    for wrong in ("readers", "readers=", "=viewer", "routers=agent", "sites=owner", "readers=king"):
        monkeypatch.setenv("PEERGATE_OIDC_ROLES", wrong)
        with pytest.raises(SettingsError, match="must be VALUE=ROLE"):
            Settings.from_environment()
    monkeypatch.setenv("PEERGATE_OIDC_ROLES", "readers=viewer")
    for wrong in ("http://id.example.net", "http://127.0.0.2.example.net", "id", "https://"):
        monkeypatch.setenv("PEERGATE_OIDC_ISSUER", wrong)
        with pytest.raises(SettingsError, match="must start with https://"):
            Settings.from_environment()
