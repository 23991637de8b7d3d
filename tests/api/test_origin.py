"""Whom a request comes from, and who is believed about it."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import httpx
import pytest
from starlette.datastructures import Headers

from api.errors import SettingsError
from api.origin import find_origin
from api.settings import Settings
from policy.prefixes import parse_trusted
from tests.api.conftest import Service, on_sqlite
from tests.api.process import Process

PROXY = "192.0.2.20"
TRUSTED = tuple(map(parse_trusted, (PROXY, "2001:db8:20::/64", "198.51.100.0/28")))
MADE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# The connection's peer, the lines of X-Forwarded-For, whose address it is, whether a proxy's.
CASES = [
    ("203.0.113.7", [], "203.0.113.7", False),
    # Not a trusted peer: it may write what it likes.
    ("203.0.113.7", ["203.0.113.99"], "203.0.113.7", False),
    ("203.0.113.7", [PROXY], "203.0.113.7", False),
    (PROXY, ["203.0.113.7"], "203.0.113.7", False),
    (PROXY, ["2001:db8:7::1"], "2001:db8:7::1", False),
    # The client has sent a header of its own; the proxy adds to it.
    (PROXY, ["203.0.113.99, 203.0.113.7"], "203.0.113.7", False),
    (PROXY, ["203.0.113.99", "203.0.113.7"], "203.0.113.7", False),
    (PROXY, ["198.51.100.3, 203.0.113.7"], "203.0.113.7", False),
    (PROXY, ["rubbish, 203.0.113.7"], "203.0.113.7", False),
    # Two proxies one after the other.
    (PROXY, ["203.0.113.99, 203.0.113.7, 198.51.100.3"], "203.0.113.7", False),
    (PROXY, ["203.0.113.7,198.51.100.3 ,2001:db8:20::5"], "203.0.113.7", False),
    # Ports and brackets, as some proxies write them.
    (PROXY, ["203.0.113.7:4711"], "203.0.113.7", False),
    (PROXY, ["[2001:db8:7::1]:4711"], "2001:db8:7::1", False),
    (PROXY, ["[2001:db8:7::1]"], "2001:db8:7::1", False),
    # IPv4 in IPv6, on either side.
    ("::ffff:203.0.113.7", [], "203.0.113.7", False),
    (f"::ffff:{PROXY}", ["::ffff:203.0.113.7"], "203.0.113.7", False),
    (PROXY, ["203.0.113.7, ::ffff:198.51.100.3"], "203.0.113.7", False),
    # Nobody behind the proxy is known.
    (PROXY, [], PROXY, True),
    (PROXY, [""], PROXY, True),
    (PROXY, ["203.0.113.7,"], PROXY, True),
    (PROXY, ["203.0.113.7, unknown"], PROXY, True),
    (PROXY, ["203.0.113.7, 203.0.113.07"], PROXY, True),
    (PROXY, ["203.0.113.7, fe80::1%eth0"], PROXY, True),
    (PROXY, ["203.0.113.7, 203.0.113.8/32"], PROXY, True),
    (PROXY, ["203.0.113.7, [203.0.113.8"], PROXY, True),
    (PROXY, ["203.0.113.7 203.0.113.8"], PROXY, True),
    (PROXY, ["203.0.113.7, rubbish, 198.51.100.3"], "198.51.100.3", True),
    (PROXY, ["198.51.100.4, 198.51.100.3"], "198.51.100.4", True),
    ("fe80::1%eth0", ["203.0.113.99"], "fe80::1", False),
    (None, ["203.0.113.99"], "::", False),
]


def headers(name: str, *values: str) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode()) for value in values])


@pytest.mark.parametrize(("peer", "lines", "address", "proxy"), CASES)
def test_the_client_is_whom_the_last_trusted_one_saw(
    peer: str | None, lines: list[str], address: str, proxy: bool
) -> None:
    found = find_origin(peer, headers("X-Forwarded-For", *lines), TRUSTED)
    assert (found.address, found.proxy) == (ip_address(address), proxy)


def test_without_a_trusted_proxy_nobody_is_believed() -> None:
    for peer in (PROXY, "127.0.0.1", "::1"):
        found = find_origin(peer, headers("X-Forwarded-For", "203.0.113.7"), ())
        assert (found.address, found.proxy) == (ip_address(peer), False)


@pytest.mark.parametrize(
    "given", ["a", "4f6f0c9e-9f1f-4a57", "Root=1-67891233-abcdef/5:1", "x" * 128]
)
def test_a_trusted_proxy_may_give_the_request_its_id(given: str) -> None:
    assert find_origin(PROXY, headers("X-Request-Id", given), TRUSTED).request == given
    assert MADE.fullmatch(
        find_origin("203.0.113.7", headers("X-Request-Id", given), TRUSTED).request
    )


@pytest.mark.parametrize("given", [[""], ["x" * 129], ["a b"], ["a\nb"], ["-a"], ["a", "b"], ["é"]])
def test_an_id_that_is_none_is_not_taken_over(given: list[str]) -> None:
    assert MADE.fullmatch(find_origin(PROXY, headers("X-Request-Id", *given), TRUSTED).request)


def test_each_answer_has_the_id_of_its_request(service: Service) -> None:
    ids = [
        answer.headers["X-Request-Id"]
        for answer in (
            service.nobody.get("/healthz"),
            service.nobody.get("/v1/status", headers={"X-Request-Id": "mine"}),
            service.nobody.get("/nowhere"),
            service.admin.get("/v1/gateways"),
            service.admin.post("/v1/gateways", content=b"x" * 9_000_000),
        )
    ]
    assert all(MADE.fullmatch(each) for each in ids)
    assert len(set(ids)) == len(ids)


def test_a_defect_is_answered_with_the_id_that_the_log_has(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @service.app.get("/defect", include_in_schema=False)
    def defect() -> None:
        raise RuntimeError("on purpose")

    # The document is one for all applications of this process: what is put in is taken out.
    monkeypatch.setitem(service.app.openapi()["paths"], "/defect", {"get": {}})
    with caplog.at_level(logging.ERROR, "peergate.api"):
        answered = service.nobody.get("/defect")
    assert answered.status_code == 500
    assert f"GET /defect: a defect (request {answered.headers['X-Request-Id']})" in caplog.text


def test_a_trusted_proxy_is_believed_by_the_service(
    start: Callable[[Settings], Service], settings: Settings
) -> None:
    proxied = start(replace(settings, trusted_proxies=(parse_trusted("127.0.0.1"),)))
    answered = proxied.nobody.get("/healthz", headers={"X-Request-Id": "mine"})
    assert answered.headers["X-Request-Id"] == "mine"


@on_sqlite
def test_the_server_itself_believes_nobody(process: Process) -> None:
    """uvicorn would take a proxy on this machine at its word."""
    told = {"X-Request-Id": "mine", "X-Forwarded-For": "203.0.113.7"}
    answered = httpx.get(f"{process.url}/healthz", headers=told)
    assert MADE.fullmatch(answered.headers["X-Request-Id"])


def test_proxies_are_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().trusted_proxies == ()
    monkeypatch.setenv("PEERGATE_TRUSTED_PROXIES", f"{PROXY}, 2001:db8:20::/64  198.51.100.0/28")
    assert Settings.from_environment().trusted_proxies == TRUSTED


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("0.0.0.0/0", "everybody"),
        ("::/0", "everybody"),
        ("192.0.2.1/24", "did you mean 192.0.2.0/24"),
        ("proxy.example.net", "not an IPv4 or IPv6 address"),
        ("::ffff:192.0.2.0/120", "IPv4-mapped"),
    ],
)
def test_whom_one_cannot_trust(monkeypatch: pytest.MonkeyPatch, wrong: str, why: str) -> None:
    monkeypatch.setenv("PEERGATE_TRUSTED_PROXIES", f"192.0.2.20 {wrong}")
    with pytest.raises(SettingsError, match=f"PEERGATE_TRUSTED_PROXIES: {wrong}: .*{why}"):
        Settings.from_environment()
