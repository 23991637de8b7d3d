"""The agent following a registry over HTTP: changes, trouble, and what it must not believe."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from control import state
from control.detach import detach
from lab.topology import BRANCH, REGISTRY, STRANGER
from lab.watch import wait_until
from tests.control.edge import BRANCH_PEER, SECONDS, Edge, many_peers, peer
from tests.control.registry_server import ONE, OTHER, TOKEN, Registry, listen

PORT = 8470
GUEST = peer("guest", STRANGER)


def serve(edge: Edge) -> Registry:
    made = edge.net.registry.socket(socket.AF_INET, socket.SOCK_STREAM)
    return Registry(listen(made, REGISTRY, PORT))


@pytest.fixture
def registry(edge: Edge) -> Iterator[Registry]:
    token = edge.directory / "agent.token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    edge.configure(registry_url=f"http://{REGISTRY}:{PORT}", token_file=str(token))
    with serve(edge) as made:
        made.set([BRANCH_PEER])
        yield made


def reboot(edge: Edge) -> None:
    with edge.net.router.entered():
        detach(edge.settings)


def test_changes_come_by_a_waiting_request_and_are_reported(edge: Edge, registry: Registry) -> None:
    agent = edge.start(on_policy=False)
    assert edge.lets_in(branch=True)
    registry.set([BRANCH_PEER, GUEST])
    agent.wait_for(f"revision 2 of {ONE} is in force")
    assert edge.lets_in(branch=True, stranger=True)
    registry.set([GUEST])
    assert edge.lets_in(branch=False, stranger=True)
    assert registry.requests.count("/v1/allowlist") == 1
    assert wait_until(lambda: registry.report["revision"] == 3, SECONDS)
    report = registry.report
    assert report["path"] == "/v1/routers/edge-1/report"
    assert report["registry"] == ONE
    assert report["interfaces"] == [
        {
            "name": "uplink",
            "attach": "native",
            "attached": True,
            "program": edge.program(),
            "error": None,
        }
    ]
    assert report["entries"] == {"hosts": 1, "prefixes": 0}
    assert report["held"] is None
    assert (report["repairs"], report["put_back"]) == (0, 0)
    assert wait_until(
        lambda: registry.report["counters"]["hub"]["unregistered_drop"]["packets"] > 0, SECONDS
    )
    assert "bystander_pass" in registry.report["counters"][""]


def test_who_was_seen_is_told_once(edge: Edge, registry: Registry) -> None:
    edge.configure(
        registry_url=f"http://{REGISTRY}:{PORT}",
        token_file=str(edge.directory / "agent.token"),
        report_every=1,
    )
    agent = edge.start(on_policy=False)
    assert edge.lets_in(branch=True)
    assert wait_until(lambda: bool(registry.seen), SECONDS)
    (told,) = registry.seen
    assert (told["path"], told["registry"]) == ("/v1/routers/edge-1/seen", ONE)
    (some,) = told["seen"]
    assert some["peers"] == [1]
    age = datetime.now(UTC) - datetime.fromisoformat(some["at"])
    assert timedelta(0) <= age < timedelta(minutes=40)
    registry.set([BRANCH_PEER, GUEST])
    agent.wait_for(f"revision 2 of {ONE} is in force")
    assert edge.lets_in(branch=True, stranger=True)
    assert wait_until(lambda: len(registry.seen) > 1, SECONDS)
    assert [each["peers"] for each in registry.seen[1]["seen"]] == [[2]]


def test_the_registry_away_and_back(edge: Edge, registry: Registry) -> None:
    agent = edge.start(on_policy=False)
    registry.close()
    agent.wait_for("registry http://.*: not reached: .*what is in force stays")
    assert edge.lets_in(branch=True)
    with serve(edge) as back:
        back.revision = registry.revision
        back.set([GUEST])
        agent.wait_for("the registry is followed again")
        assert edge.lets_in(branch=False, stranger=True)


def test_away_at_boot_it_starts_from_disk(edge: Edge, registry: Registry) -> None:
    edge.start(on_policy=False).end()
    registry.close()
    reboot(edge)
    agent = edge.start(on_policy=False)
    assert agent.said("starting from revision 1 on disk")
    assert edge.lets_in(branch=True)


def test_away_at_the_very_first_boot_nothing_is_attached(edge: Edge, registry: Registry) -> None:
    registry.close()
    agent = edge.start(on_policy=False, waits=False)
    agent.wait_for("no allowlist yet: nothing is attached")
    agent.wait_for("not reached")
    assert edge.program() is None
    assert edge.lets_in(branch=True, stranger=True)
    with serve(edge) as back:
        back.set([BRANCH_PEER])
        assert edge.lets_in(branch=True)


def test_a_damaged_snapshot_on_disk_is_refused(edge: Edge, registry: Registry) -> None:
    edge.start(on_policy=False).end()
    registry.close()
    reboot(edge)
    path = edge.state_dir / "snapshot.json"
    path.write_bytes(path.read_bytes().replace(BRANCH.encode(), STRANGER.encode()))
    agent = edge.start(on_policy=False, waits=False)
    agent.wait_for("snapshot.json: damaged or cut off.*going on without it")
    agent.wait_for("no allowlist yet")
    assert edge.program() is None


def test_adopted_maps_stay_in_force_without_disk_and_registry(
    edge: Edge, registry: Registry
) -> None:
    edge.start(on_policy=False).end()
    registry.close()
    (edge.state_dir / "snapshot.json").unlink()
    agent = edge.start(on_policy=False)
    assert agent.said("adopted the maps of the agent before: 2 entries")
    assert edge.lets_in(branch=True)


def test_an_older_snapshot_on_disk_does_not_undo_adopted_maps(
    edge: Edge, registry: Registry
) -> None:
    """The agent was killed between the maps and the disk, and the registry is away."""
    agent = edge.start(on_policy=False)
    path = edge.state_dir / "snapshot.json"
    assert wait_until(path.exists, SECONDS)
    older = path.read_bytes()
    registry.set([GUEST])
    agent.wait_for("revision 2 of")
    agent.end()
    registry.close()
    path.write_bytes(older)
    edge.start(on_policy=False)
    assert edge.lets_in(branch=False, stranger=True)


def test_an_unknown_registry_is_refused_until_accepted(edge: Edge, registry: Registry) -> None:
    agent = edge.start(on_policy=False)
    registry.id, registry.revision = OTHER, 4
    registry.set([GUEST])
    agent.wait_for(f"the registry is {OTHER}, this router follows {ONE}: refused")
    assert edge.lets_in(branch=True)
    reports = len(registry.reports)
    state.accept_registry(edge.state_dir, OTHER)
    agent.wait_for(f"revision 5 of {OTHER} is in force")
    assert edge.lets_in(branch=False, stranger=True)
    assert wait_until(lambda: len(registry.reports) > reports, SECONDS)
    assert registry.report["registry"] == OTHER


def test_an_accepted_registry_that_removes_too_much_is_held_all_the_same(
    edge: Edge, registry: Registry
) -> None:
    registry.set([BRANCH_PEER, *many_peers(120)])
    agent = edge.start(on_policy=False)
    registry.id, registry.revision = OTHER, 6
    registry.set([GUEST])
    agent.wait_for("refused")
    state.accept_registry(edge.state_dir, OTHER)
    agent.wait_for("revision 7 would remove 122 of 122 sources")
    registry.set([GUEST, peer("more", "203.0.113.99")])
    agent.wait_for("revision 8 would remove 122 of 122 sources")
    assert edge.lets_in(branch=True)
    state.accept_removal(edge.state_dir, 8)
    agent.wait_for(f"revision 8 of {OTHER} is in force")
    assert edge.lets_in(branch=False, stranger=True)


def test_unknown_after_a_restart_too(edge: Edge, registry: Registry) -> None:
    edge.start(on_policy=False).end()
    registry.id = OTHER
    registry.set([GUEST])
    edge.start(on_policy=False).wait_for(f"the registry is {OTHER}, this router follows {ONE}")
    assert edge.lets_in(branch=True)


def test_a_restored_registry_hears_of_our_revision_and_goes_on(
    edge: Edge, registry: Registry
) -> None:
    agent = edge.start(on_policy=False)
    for _ in range(4):
        registry.set([BRANCH_PEER])
    agent.wait_for("revision 5 of")
    registry.revision = 1
    registry.touched.clear()
    registry.set([GUEST])
    agent.wait_for("revision 6 of")
    assert edge.lets_in(branch=False, stranger=True)


def test_a_revision_that_goes_back_is_refused(edge: Edge, registry: Registry) -> None:
    registry.revision = 7
    registry.set([BRANCH_PEER])
    edge.start(on_policy=False).end()
    registry.close()
    # Else it would go on with changes from there.
    (edge.state_dir / "snapshot.json").unlink()
    with serve(edge) as older:
        older.set([GUEST])
        agent = edge.start(on_policy=False)
        agent.wait_for("the registry is at revision 1, this router had 8 already: refused")
        # Nor has it anything to show any more: somebody lifts the registry.
        agent.wait_for("409 Conflict: lift it by hand")
        assert older.reports[0]["revision"] == 8
        older.revision = 8
        older.set([GUEST])
        agent.wait_for("revision 9 of")


def test_too_old_for_changes_it_fetches_a_snapshot(edge: Edge, registry: Registry) -> None:
    agent = edge.start(on_policy=False)
    agent.wait_for("revision 1 of")
    registry.floor = 3
    registry.revision = 4
    registry.set([GUEST])
    agent.wait_for("revision 5 of")
    assert edge.lets_in(branch=False, stranger=True)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"registry": "1111', "Invalid JSON"),
        (b"[]", "snapshot is refused"),
        (b'{"registry":"x","revision":9,"time":"2026-11-23T12:00:00Z"}', "gateways: missing"),
        (
            b'{"registry":"x","revision":9,"time":"2026-11-23T12:00:00Z","gateways":[],"peers":'
            b'[{"id":1,"name":"p","gateway":"hub","owner":"o","contact":"a@example.net",'
            b'"purpose":"p","sources":["203.0.113.7"]}]}',
            "no gateway has this name",
        ),
    ],
)
def test_what_does_not_parse_is_refused(
    edge: Edge, registry: Registry, raw: bytes, why: str
) -> None:
    agent = edge.start(on_policy=False)
    registry.raw = raw
    registry.set([])
    agent.wait_for(f"its .* is refused: .*{why}|{why}: ")
    assert edge.lets_in(branch=True)


def test_an_emptied_registry_is_held(edge: Edge, registry: Registry) -> None:
    registry.set([BRANCH_PEER, *many_peers(120)])
    agent = edge.start(on_policy=False)
    registry.set([], gateways=[])
    agent.wait_for("revision 3 would remove 122 of 122 sources")
    assert wait_until(lambda: "would remove" in (registry.report.get("held") or ""), SECONDS)
    assert registry.report["revision"] == 2
    assert edge.lets_in(branch=True)
    registry.set([BRANCH_PEER])
    agent.wait_for("revision 4 would remove 120 of 122 sources")
    state.accept_removal(edge.state_dir, 3)
    agent.wait_for("revision 4 of")
    assert edge.lets_in(branch=True)
    assert wait_until(lambda: registry.report["entries"]["prefixes"] == 0, SECONDS)


def test_a_refused_token_is_said(edge: Edge, registry: Registry) -> None:
    (edge.directory / "agent.token").write_text("pg_wrong\n")
    agent = edge.start(on_policy=False, waits=False)
    agent.wait_for("401 .*no such token; `token_file` must hold a token of the role agent")
    (edge.directory / "agent.token").write_text(f"{TOKEN}\n")
    agent.wait_for("revision 1 of")


def test_it_ends_promptly_while_it_waits(edge: Edge, registry: Registry) -> None:
    agent = edge.start(on_policy=False)
    assert wait_until(lambda: "/v1/allowlist/changes" in registry.requests, SECONDS)
    assert agent.end() == 0
