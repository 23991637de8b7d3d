"""Webhooks through the command line, against a real registry that may not ask this machine."""

from tests.cli.conftest import Peergate

URL = "https://127.0.0.1:9/hook"


def test_a_webhook_from_its_first_day_to_its_last(peergate: Peergate) -> None:
    made = peergate("webhook", "add", "pager", "--to", URL, "--type", "peer.requested")
    assert made.code == 0
    assert made.out.startswith("whsec_")
    assert len(made.out.splitlines()) == 1
    (listed,) = peergate("webhook", "list", "--json").json
    assert (listed["url"], listed["types"], listed["state"]) == (URL, ["peer.requested"], "ok")
    assert made.out.strip() not in str(listed)
    tested = peergate("webhook", "test", "pager")
    assert (tested.code, tested.out) == (1, "")
    assert "webhook pager: 127.0.0.1: 127.0.0.1 is not a public address" in tested.err
    tested = peergate("webhook", "test", "pager", "--json")
    assert (tested.code, tested.json["taken"]) == (1, False)
    changed = peergate("webhook", "set", "pager", "--disable", "--all-types")
    assert (changed.code, changed.out) == (0, "webhook pager changed, now disabled\n")
    assert peergate("webhook", "show", "pager", "--json").json["types"] == []
    assert peergate("webhook", "set", "pager", "--enable").out.endswith("now ok\n")
    assert "peer.requested" not in peergate("webhook", "list").out
    assert peergate("webhook", "set", "pager").code == 2
    renewed = peergate("webhook", "renew", "pager")
    assert renewed.out.startswith("whsec_")
    assert renewed.out != made.out
    wrong = peergate("webhook", "add", "other", "--to", "http://hooks.example.net")
    assert wrong.code == 1
    assert "url: http://hooks.example.net: must start with https://" in wrong.err
    assert peergate("webhook", "remove", "pager").out == "webhook pager removed\n"
    assert peergate("webhook", "list", "--json").json == []
