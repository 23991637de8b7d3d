"""The service keeps to its OpenAPI document, whatever it is sent."""

import secrets
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from api.records import Role
from tests.api.bodies import gateway, peer
from tests.api.conftest import Service
from tests.api.process import Process
from tests.api.questions import waiting_question

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Kept apart, for it takes away the token that the requests are made with.
TOKEN = "^/v1/tokens/.id.$"
# For owners alone: an admin has no peer.
OWNERS = "/(here|sources)$"


# Two minutes on two busy cores.
@pytest.mark.timeout(540)
@pytest.mark.parametrize(
    "only",
    [
        ["--exclude-path-regex", f"{TOKEN}|{OWNERS}", "-n", "4"],
        ["--include-path-regex", TOKEN, "-n", "10"],
        ["--include-path-regex", OWNERS, "-n", "10"],
    ],
    ids=["all", "revoking tokens", "as an owner"],
)
def test_schemathesis(process: Process, tmp_path: Path, only: list[str]) -> None:
    seed = str(secrets.randbelow(2**32))
    print(f"schemathesis --seed {seed}")
    with process.client(Role.ADMIN) as admin:
        if OWNERS in only:
            token = owner_of_one(admin)
        else:
            body = {"name": "fuzz", "role": "admin"}
            token = admin.post("/v1/tokens", json=body).json()["token"]
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG),
            *("run", f"{process.url}/openapi.json", "-H", f"Authorization: Bearer {token}"),
            *("--seed", seed, "--continue-on-failure", "--no-color", *only),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    process.process.terminate()
    assert process.process.wait() == 0
    assert "Traceback" not in process.stderr()


def owner_of_one(admin: httpx.Client) -> str:
    """The token of peer 1, which is made for it."""
    admin.post("/v1/gateways", json=gateway())
    admin.post("/v1/peers", json=peer(bounds={"interval_seconds": 0}))
    admin.post("/v1/peers/1/approve", headers={"If-Match": "*"})
    token: str = admin.post("/v1/peers/1/token", json={}).json()["token"]
    return token


def test_every_example_is_accepted(service: Service) -> None:
    """In the order in which people would send them; the last word on each is in its status."""
    paths = service.nobody.get("/openapi.json").json()["paths"]
    registry = service.admin.get("/v1/status").json()["registry"]
    sent = 0
    for method, path, at in (
        ("post", "/v1/gateways", "/v1/gateways"),
        ("patch", "/v1/gateways/{name}", "/v1/gateways/hub"),
        ("post", "/v1/peers", "/v1/peers"),
        ("patch", "/v1/peers/{id}", "/v1/peers/1"),
        ("post", "/v1/peers/{id}/reject", "/v1/peers/1/reject"),
        ("put", "/v1/policy", "/v1/policy"),
        ("post", "/v1/peers/{id}/token", "/v1/peers/2/token"),
        ("put", "/v1/peers/{id}/sources", "/v1/peers/2/sources"),
        ("post", "/v1/peers/{id}/propose", "/v1/peers/2/propose"),
        ("post", "/v1/peers/{id}/decline", "/v1/peers/2/decline"),
        ("patch", "/v1/rules", "/v1/rules"),
        ("post", "/v1/peers/{id}/renew", "/v1/peers/2/renew"),
        ("post", "/v1/peers/{id}/revoke", "/v1/peers/2/revoke"),
        ("post", "/v1/tokens", "/v1/tokens"),
        ("post", "/v1/routers", "/v1/routers"),
        ("patch", "/v1/routers/{name}", "/v1/routers/edge-2"),
        ("put", "/v1/rollout", "/v1/rollout"),
        ("post", "/v1/rollback", "/v1/rollback"),
        ("put", "/v1/routers/{name}/report", "/v1/routers/edge-1/report"),
        ("post", "/v1/webhooks", "/v1/webhooks"),
        ("patch", "/v1/webhooks/{name}", "/v1/webhooks/pager"),
        ("put", "/v1/routers/{name}/seen", "/v1/routers/edge-1/seen"),
        ("put", "/v1/routers/{name}/questions/{id}", "/v1/routers/edge-1/questions/1"),
        ("patch", "/v1/gateways/{name}", "/v1/gateways/hub"),
        ("put", "/v1/gateways/{name}/cutover", "/v1/gateways/hub/cutover"),
        ("post", "/v1/gateways/{name}/cutover/return", "/v1/gateways/hub/cutover/return"),
        ("put", "/v1/routers/{name}/strangers", "/v1/routers/edge-1/strangers"),
        ("post", "/v1/strangers/{id}/register", "/v1/strangers/1/register"),
        ("post", "/v1/sign-offs", "/v1/sign-offs"),
    ):
        client = service.admin
        if path == "/v1/peers/{id}/token":
            service.set_bounds(2)
        if path.endswith("/sources"):
            client = service.owner(2)
        if path.endswith("/questions/{id}"):
            assert waiting_question(service) == 1
        content = paths[path][method]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            body = example["value"]
            if "registry" in body:
                body |= {"registry": registry}
            if "revision" in body:
                body |= {"revision": service.revision}
            done = client.request(method.upper(), at, json=body, headers={"If-Match": "*"})
            assert done.status_code < 300, (at, done.text)
            sent += 1
    with_body = [
        operation
        for methods in paths.values()
        for operation in methods.values()
        if "application/json" in operation.get("requestBody", {}).get("content", ())
    ]
    assert sent >= len(with_body)


def test_errors_are_documented_as_problems(service: Service) -> None:
    document = service.nobody.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]
            codes = set(operation["responses"])
            if path.startswith("/v1"):
                assert {"401", "403"} <= codes, (method, path)
            # Tokens and sessions have no versions.
            if method in ("patch", "delete") and not path.endswith(
                ("token", "tokens/{id}", "session")
            ):
                assert {"412", "428"} <= codes, (method, path)
