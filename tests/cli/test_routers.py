"""Routers, revisions and the staged roll-out through the command line, against a real registry."""

from pathlib import Path

import httpx
import pytest

from tests.api.bodies import report
from tests.cli.conftest import Peergate, Running

HUB = ("gateway", "add", "hub", "--address", "198.51.100.1", "--service", "wireguard")
PEER = ("--owner", "Branch networks", "--contact", "netops@example.net", "--purpose", "A tunnel")


def add_peer(peergate: Peergate, name: str, *more: str) -> None:
    source = ("--gateway", "hub", "--source", "203.0.113.7")
    added = peergate("peer", "add", name, *source, *PEER, "--approve", *more)
    assert added.code == 0, added.err


def test_a_router_from_its_first_day_to_its_last(peergate: Peergate, registry: Running) -> None:
    added = peergate("router", "add", "edge-1", "--label", "site=fra")
    assert (added.code, added.out) == (
        0,
        "router edge-1 added; a token for its agent: peergate router token edge-1\n",
    )
    token = peergate("router", "token", "edge-1").out.strip()
    listed = peergate("router", "list")
    assert ["edge-1", "site=fra"] in [line.split()[:2] for line in listed.out.splitlines()]
    assert "warning: edge-1: has not reported" in listed.err

    about = report(peergate("status", "--json").json["registry"]["registry"], 0)
    down = [{"name": "eth0", "attach": "native", "attached": False, "error": "no such device"}]
    told = httpx.put(
        f"{registry.url}/v1/routers/edge-1/report",
        json=about | {"interfaces": down},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert told.status_code == 204, told.text
    shown = peergate("router", "show", "edge-1")
    assert "eth0 not attached" in shown.out
    assert "6.18.0" in shown.out
    assert "eth0: the program is not attached, packets pass: no such device" in shown.err

    labelled = peergate("router", "label", "edge-1", "site=ams", "stage=canary")
    assert labelled.out == "router edge-1: site=ams, stage=canary\n"
    assert peergate("router", "label", "edge-1", "none").out == "router edge-1: no labels\n"
    assert peergate("router", "remove", "edge-1").code == 0
    assert peergate("router", "list", "--json").json == []
    assert [each["role"] for each in peergate("token", "list", "--json").json] == ["admin"]


def test_an_agents_token_makes_its_router(peergate: Peergate) -> None:
    made = peergate("token", "add", "edge-1", "--role", "agent", "--json").json
    assert (made["router"], peergate("router", "show", "edge-1", "--json").json["labels"]) == (
        "edge-1",
        {},
    )
    second = peergate("token", "add", "b", "--role", "agent", "--router", "edge-1", "--json").json
    assert second["router"] == "edge-1"
    wrong = peergate("token", "add", "c", "--role", "agent", "--router", "edge-2")
    assert wrong.code == 1
    assert "peergate router add edge-2" in wrong.err


def test_a_gateway_is_given_to_routers_by_label(peergate: Peergate) -> None:
    assert peergate(*HUB, "--router", "site=fra").code == 0
    assert peergate("gateway", "show", "hub", "--json").json["routers"] == {"site": "fra"}
    assert "site=fra" in peergate("gateway", "list").out
    assert peergate("gateway", "set", "hub", "--router", "none").code == 0
    assert peergate("gateway", "show", "hub", "--json").json["routers"] == {}
    wrong = peergate("gateway", "set", "hub", "--router", "fra")
    assert (wrong.code, "must be KEY=VALUE, as in site=fra" in wrong.err) == (2, True)


def test_who_would_carry_a_gateway_is_told_before(peergate: Peergate) -> None:
    for name in ("ams", "fra"):
        assert peergate("router", "add", f"{name}-1", "--label", f"site={name}").code == 0
    assert peergate(*HUB).code == 0
    add_peer(peergate, "branch-7")
    wanted = ("--address", "198.51.100.2", "--service", "gre", "--mode", "enforce")
    selector = ("--router", "site=fra", "--dry-run")
    dry = peergate("gateway", "add", "fra", *wanted, *selector)
    assert (dry.code, dry.out.splitlines()) == (
        0,
        [
            "begins at fra-1: 0 peers pass, everybody else is dropped",
            "not known: fra: nobody has seen yet who talks to it",
            "gateway fra would be added, mode enforce: nothing was changed (dry run)",
        ],
    )
    assert peergate("gateway", "show", "fra").code == 1
    dry = peergate("gateway", "set", "hub", *selector)
    assert dry.out.splitlines() == [
        "ceases at ams-1: everybody passes there",
        "gateway hub would be changed, mode monitor: nothing was changed (dry run)",
    ]
    assert peergate("gateway", "set", "hub", *selector, "--json").json["routers"]["losing"] == 1
    assert peergate("gateway", "set", "hub", "--router", "site=fra").code == 0
    dry = peergate("router", "label", "ams-1", "site=fra", "--dry-run")
    assert dry.out.splitlines() == [
        "begins with hub: 1 peer passes, everybody else is counted",
        "router ams-1: site=fra: nothing was changed (dry run)",
    ]
    dry = peergate("router", "label", "fra-1", "none", "--dry-run")
    assert dry.out.splitlines()[0] == "ceases with hub: everybody passes here"
    assert peergate("router", "show", "fra-1", "--json").json["labels"] == {"site": "fra"}
    assert peergate("rollout", "set", "--canary", "stage=canary").code == 0
    dry = peergate("router", "label", "fra-1", "site=fra", "stage=canary", "--dry-run")
    assert dry.out.splitlines()[0] == "would be a canary: what waits for a release comes"
    found = peergate("router", "label", "fra-1", "stage=canary", "--dry-run", "--json").json
    assert (found["stage"], found["loses"][0]["gateway"]) == ("canary", "hub")


def test_the_way_back(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    add_peer(peergate, "branch-7")
    listed = peergate("revision", "list")
    assert "gateway hub added" in listed.out
    latest = peergate("revision", "list", "--limit", "1", "--json").json
    assert [(each["revision"], each["kept"]) for each in latest] == [(2, True)]
    planned = peergate("rollback", "--to-revision", "1", "--dry-run")
    assert (planned.code, planned.out.splitlines()[-1]) == (0, "1 changes; nothing was done")
    done = peergate("rollback", "--to-revision", "1")
    assert done.out.splitlines()[-1] == "revision 3 is as revision 1 was"
    assert ["revoke", "peer", "hub", "branch-7"] in [
        line.split()[:4] for line in done.out.splitlines()
    ]
    again = peergate("rollback", "--to-revision", "1")
    assert again.out == "nothing differs from revision 1\n"
    assert peergate("peer", "show", "branch-7", "--json").json["reason"] == "rollback to revision 1"
    beyond = peergate("rollback", "--to-revision", "99", "--yes")
    assert (beyond.code, "this registry is at 3" in beyond.err) == (1, True)


def test_canaries_first(peergate: Peergate) -> None:
    assert peergate(*HUB).code == 0
    none = peergate("rollout", "status")
    assert none.out.startswith("there is no staged roll-out")
    assert peergate("rollout", "set", "--canary", "stage=canary", "--hold", "15m").code == 0
    assert peergate("rollout", "status", "--json").json["hold"] == 900
    peergate("router", "add", "edge-1", "--label", "stage=canary")
    add_peer(peergate, "branch-7")
    status = peergate("rollout", "status")
    assert "peer 1 approved" in status.out
    assert "it does not go on by itself: no canary has revision 4 in force" in status.err
    for args, last in (
        (("confirm",), "revision 4 would be released to the rest; nothing was done"),
        (("off",), "revision 4 would be released to the rest; nothing was done"),
        (("abort",), "1 changes with the canaries; nothing was done"),
    ):
        dry = peergate("rollout", *args, "--dry-run")
        assert (dry.code, dry.out.splitlines()[-1]) == (0, last), dry
    back = peergate("rollback", "--to-revision", "3", "--urgent", "--dry-run")
    assert back.out.splitlines()[-4:] == [
        "At the canaries:",
        "cuts off branch-7 at hub: 203.0.113.7; not seen",
        "At the other routers, which get what waits with it:",
        "1 changes; nothing was done",
    ]
    assert peergate("rollout", "confirm").out == "released up to revision 4\n"
    assert "nothing waits for a release" in peergate("rollout", "status").out
    why = ("--reason", "Keys were stolen")
    assert peergate("peer", "revoke", "branch-7", *why, "--urgent").code == 0
    assert peergate("rollout", "status", "--json").json["pending"] == []
    add_peer(peergate, "branch-8")
    aborted = peergate("rollout", "abort")
    assert aborted.out.splitlines()[-1] == "aborted with revision 8"
    assert peergate("peer", "show", "branch-8", "--json").json["state"] == "revoked"
    assert peergate("rollout", "off").code == 0
    wrong = peergate("rollout", "set", "--canary", "stage=canary", "--hold", "soon")
    assert (wrong.code, "as in 90s, 15m, 2h or 1d" in wrong.err) == (2, True)


def test_a_restored_registry_is_lifted_by_hand(
    offline_peergate: Peergate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERGATE_DATABASE_URL", str(tmp_path / "registry.db"))
    assert offline_peergate("api", "init").code == 0
    lifted = offline_peergate("api", "lift", "--to-revision", "41", "--json")
    assert lifted.json["revision"] == 42
    again = offline_peergate("api", "lift", "--to-revision", "41")
    assert (again.code, "is at revision 42" in again.err) == (1, True)
