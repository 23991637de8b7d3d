"""What the doctor says of a registry, by the answers of a real one."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from api.bootstrap import init
from api.settings import Settings as RegistrySettings
from control.doctor.examine import seen
from control.doctor.finding import Finding
from control.doctor.registry import said, source
from control.registry import RegistryClient, Standing
from control.settings import Settings
from control.state import Known, prepare, remember_registry
from tests.api.bodies import gateway
from tests.cli.test_usage import stranger_with_tls  # noqa: F401  # a fixture
from tests.contract.test_agent_follows_registry import serving

ELSEWHERE = "22222222-2222-4222-8222-222222222222"


@dataclass(frozen=True, slots=True)
class Registry:
    url: str
    http: httpx.Client
    settings: Settings

    def give(self, role: str) -> None:
        """The router's token is a new one of that role."""
        answer = self.http.post("/v1/tokens", json={"name": f"a-{role}", "role": role})
        assert answer.is_success, answer.text
        assert self.settings.token_file is not None
        self.settings.token_file.write_text(f"{answer.json()['token']}\n")

    def look(self) -> list[Finding]:
        return list(source(seen(self.settings)))

    def standing(self) -> Standing:
        async def ask() -> Standing:
            async with RegistryClient.of(self.settings) as client:
                return await client.standing()

        return asyncio.run(ask())


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    stored = RegistrySettings(database_url=f"sqlite:///{tmp_path}/registry.db")
    admin = init(stored).token
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    with (
        serving(stored) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin}"}) as http,
    ):
        settings = Settings(
            router="edge-1",
            interfaces=("uplink",),
            registry_url=url,
            token_file=token_file,
            state_dir=tmp_path / "state",
        )
        yield Registry(url, http, settings)


def level(findings: list[Finding], words: str) -> str:
    (found,) = (found for found in findings if words in found.found)
    return found.level


def test_a_token_of_the_role_agent(registry: Registry) -> None:
    registry.give("agent")
    assert registry.http.post("/v1/gateways", json=gateway()).is_success
    findings = registry.look()
    assert {found.level for found in findings} == {"ok"}
    assert level(findings, "at revision 1") == "ok"
    assert level(findings, "has the role agent") == "ok"
    assert level(findings, "of the registry's") == "ok"


@pytest.mark.parametrize(
    ("role", "expected"),
    [("viewer", "error"), ("registrar", "error"), ("approver", "error"), ("admin", "warning")],
)
def test_a_token_of_another_role(registry: Registry, role: str, expected: str) -> None:
    registry.give(role)
    (token,) = (found for found in registry.look() if found.subject == "token")
    assert token.level == expected
    assert "--role agent" in token.mend


def test_a_token_that_is_not_known(registry: Registry) -> None:
    assert registry.settings.token_file is not None
    registry.settings.token_file.write_text("pg_1_wrong\n")
    (refused,) = (found for found in registry.look() if found.level == "error")
    assert "401" in refused.found
    assert "peergate token add" in refused.mend


def test_what_is_looked_at_first_needs_no_registry(registry: Registry) -> None:
    assert registry.settings.token_file is not None
    registry.settings.token_file.chmod(0o644)
    (open_to_all,) = (found for found in registry.look() if found.level == "error")
    assert "chmod o=" in open_to_all.found


def test_nobody_answers(registry: Registry) -> None:
    gone = replace(registry.settings, registry_url="http://127.0.0.1:9")
    registry.give("agent")
    (refused,) = (found for found in source(seen(gone)) if found.level == "error")
    assert "not reached" in refused.found
    assert "/healthz" in refused.mend


def test_a_server_that_is_not_trusted_and_one_that_is_no_registry(
    registry: Registry,
    stranger_with_tls: tuple[str, Path],  # noqa: F811  # the fixture
) -> None:
    registry.give("agent")
    url, certificate = stranger_with_tls
    stranger = replace(registry.settings, registry_url=url)
    (refused,) = (found for found in source(seen(stranger)) if found.level == "error")
    assert "self-signed certificate" in refused.found
    assert refused.mend == "set ca_file to the authority that signed it"
    trusted = replace(stranger, ca_file=certificate)
    (refused,) = (found for found in source(seen(trusted)) if found.level == "error")
    assert "404" in refused.found
    assert "is it a registry's?" in refused.mend


def test_another_registry_than_the_one_followed(registry: Registry) -> None:
    registry.give("agent")
    prepare(registry.settings.state_dir)
    remember_registry(registry.settings.state_dir, Known(ELSEWHERE, 4))
    (other,) = (found for found in registry.look() if found.level == "error")
    assert f"is not {ELSEWHERE}" in other.found
    assert f"--accept-registry {registry.standing().registry}" in other.mend


def test_a_registry_that_was_restored(registry: Registry) -> None:
    registry.give("agent")
    prepare(registry.settings.state_dir)
    remember_registry(registry.settings.state_dir, Known(registry.standing().registry, 4))
    assert level(registry.look(), "is behind revision 4") == "note"


def test_clocks_that_differ(registry: Registry) -> None:
    registry.give("agent")
    standing = registry.standing()
    assert standing.time is not None
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert level(list(said(standing, None, an_hour_ago)), "s behind the registry's") == "warning"
