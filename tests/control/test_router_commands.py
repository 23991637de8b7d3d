"""check, status and detach: what `peergate` says and does on a router."""

import subprocess
import sys
from pathlib import Path

import pytest

from control.check import Finding, check
from control.detach import detach
from control.errors import SettingsError
from lab.netns import veth
from lab.topology import UPLINK
from tests.control.edge import BRANCH_PEER, ROOT, SECONDS, Edge, gateway, peer
from tests.control.test_agent_attach import add_alternative_name, foreign_program, put


def found(findings: list[Finding], level: str) -> str:
    return "\n".join(finding.message for finding in findings if finding.level == level)


def checked(edge: Edge, policy: Path | None = None) -> list[Finding]:
    with edge.net.router.entered():
        return check(edge.settings, policy)


def test_a_good_setup_has_no_complaint(edge: Edge) -> None:
    edge.write_policy()
    findings = checked(edge, edge.policy_file)
    assert {finding.level for finding in findings} == {"ok"}
    assert "uplink: free for the program, native, driver veth" in found(findings, "ok")
    assert "1 gateways, 1 peers" in found(findings, "ok")
    assert not edge.state_dir.exists()
    assert not edge.bpffs.exists()


def test_what_hinders_is_named(edge: Edge) -> None:
    token = edge.directory / "agent.token"
    token.write_text("pg_secret")
    token.chmod(0o644)
    edge.configure(
        interfaces=["uplink9"], registry_url="http://registry.example.net", token_file=str(token)
    )
    findings = checked(edge)
    assert "uplink9: there is no such interface" in found(findings, "error")
    assert f"everybody can read the token: chmod o= {token}" in found(findings, "error")
    assert "the token travels in clear" in found(findings, "warning")


def test_a_broken_policy_and_a_full_map_are_named(edge: Edge) -> None:
    edge.policy_file.write_text("gateways: [{name: hub}]")
    assert "gateways[0].services: missing" in found(checked(edge, edge.policy_file), "error")
    edge.configure(max_hosts=1)
    edge.write_policy([BRANCH_PEER, peer("other", "203.0.113.99")], [gateway(services=["tcp/443"])])
    assert "map IPv4 hosts is full: 2 entries" in found(checked(edge, edge.policy_file), "error")
    edge.configure()
    assert "every HTTPS client" in found(checked(edge, edge.policy_file), "warning")


def test_a_foreign_program_is_an_error_and_ours_is_none(edge: Edge) -> None:
    edge.write_policy()
    with foreign_program(edge) as fd:
        put(edge, fd, 1 << 2)
        assert "somebody else's XDP program" in found(checked(edge, edge.policy_file), "error")
        put(edge, -1, 1 << 2)
    edge.start()
    said = found(checked(edge, edge.policy_file), "ok")
    assert f"uplink: program {edge.program()} is attached, native" in said
    assert "an agent runs already" in said


def test_status_needs_no_agent(edge: Edge) -> None:
    edge.write_policy()
    agent = edge.start()
    assert edge.status().agent == agent.process.pid
    agent.kill()
    assert edge.lets_in(branch=True)
    status = edge.status()
    assert (status.agent, status.registry, status.revision) == (None, "file", 1)
    assert (status.hosts, status.prefixes, status.filled) == (2, 0, True)
    (hub,) = status.gateways
    assert (hub.name, hub.addresses, hub.sources, hub.enforces) == ("hub", 2, 2, True)
    assert hub.counters["registered_pass"].packets > 0
    assert status.interfaces[0].program == edge.program()


def test_detach_opens_the_router_and_removes_the_maps(edge: Edge) -> None:
    veth(edge.net.router, "uplink2", edge.net.internet, "router2")
    edge.configure(interfaces=[UPLINK, "uplink2"])
    edge.write_policy()
    agent = edge.start()
    with edge.net.router.entered():
        with pytest.raises(SettingsError, match="another agent runs"):
            detach(edge.settings)
        agent.end()
        # Settings have changed meanwhile: it comes off the other interface all the same.
        edge.configure()
        done = "\n".join(detach(edge.settings))
        assert "uplink: detached program" in done
        assert "uplink2: detached program" in done
        assert "maps removed" in done
        assert detach(edge.settings) == ["uplink: no program of ours"]
    assert edge.attachment().programs == ()
    assert edge.lets_in(branch=True, stranger=True)
    assert edge.status().revision is None


def test_detach_from_an_interface_known_by_its_alternative_name(edge: Edge) -> None:
    add_alternative_name(edge, UPLINK, "wan")
    edge.configure(interfaces=["wan"])
    edge.write_policy()
    agent = edge.start()
    ours = edge.program()
    agent.end()
    with edge.net.router.entered():
        assert f"wan: detached program {ours} (native)" in detach(edge.settings)
    assert edge.attachment().programs == ()


def test_detach_leaves_a_foreign_program(edge: Edge) -> None:
    with foreign_program(edge) as fd:
        put(edge, fd, 1 << 2)
        before = edge.program()
        with edge.net.router.entered():
            (said,) = detach(edge.settings)
        assert "is not ours and stays" in said
        assert edge.program() == before


def test_no_privilege_is_one_line(edge: Edge) -> None:
    """Without any capability: exit 1, one line that says what to do, no traceback."""
    edge.write_policy()
    bare: list[str | Path] = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    bare += [sys.executable, "-m", "tests.control.launch"]
    bare += [edge.directory / "agent.toml", edge.policy_file]
    process = edge.net.router.popen(
        bare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT
    )
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, said
    assert "run as root" in said
    assert "Traceback" not in said
