"""Names of addresses: asked of the operator's resolver alone, for a moment, and once."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from api.errors import SettingsError
from api.reverse import Resolver, ReverseNames
from api.settings import Settings
from tests.api.conftest import Service
from tests.api.strangers import listed, seen, told


@dataclass(slots=True)
class NameServer:
    """On a port of the loopback interface; what is asked of it, and what it says."""

    port: int
    asked: list[str] = field(default_factory=list)
    names: list[str] | None = field(default_factory=list)

    @property
    def resolver(self) -> Resolver:
        return Resolver(ip_address("127.0.0.1"), self.port)

    def answer(self, wire: bytes) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0].name
        self.asked.append(str(question))
        if self.names is None:
            return None
        said = dns.message.make_response(query)
        if self.names:
            said.answer.append(dns.rrset.from_text(question, 60, "IN", "PTR", *self.names))
        else:
            said.set_rcode(dns.rcode.NXDOMAIN)
        return said.to_wire()


@contextmanager
def serving() -> Iterator[NameServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        server = NameServer(own.getsockname()[1])

        def serve() -> None:
            while (got := own.recvfrom(4096))[0]:
                if (said := server.answer(got[0])) is not None:
                    own.sendto(said, got[1])

        thread = Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            own.sendto(b"", own.getsockname())
            thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[NameServer]:
    with serving() as made:
        yield made


def test_names_are_asked_for_once(server: NameServer) -> None:
    now = 0.0
    names = ReverseNames(server.resolver, lambda: now)
    server.names = ["gw.branch-9.example.net.", "b.example.net."]
    address = ip_address("203.0.113.9")
    for _ in range(2):
        assert sorted(names.of(address) or ()) == ["b.example.net", "gw.branch-9.example.net"]
    assert server.asked == ["9.113.0.203.in-addr.arpa."]
    server.names = []
    assert names.of(ip_address("2001:db8::9")) == ()
    assert server.asked[1].endswith("8.b.d.0.1.0.0.2.ip6.arpa.")
    now = 3601.0
    assert names.of(address) == ()


def test_silence_is_borne_for_a_moment(server: NameServer) -> None:
    now = 0.0
    names = ReverseNames(server.resolver, lambda: now)
    server.names = None
    address = ip_address("203.0.113.9")
    for _ in range(2):
        assert names.of(address) is None
    assert len(server.asked) == 1
    server.names = ["late.example.net."]
    now = 61.0
    assert names.of(address) == ("late.example.net",)


def test_without_a_resolver_nobody_is_asked() -> None:
    assert ReverseNames(None).of(ip_address("203.0.113.9")) is None


def test_one_that_is_not_there_is_silent() -> None:
    with serving() as gone:
        pass
    assert ReverseNames(gone.resolver).of(ip_address("203.0.113.9")) is None


def test_hostile_names_are_harmless(server: NameServer) -> None:
    server.names = [r"\027]0\;owned\007.\195\188.example.net."]
    (name,) = ReverseNames(server.resolver).of(ip_address("203.0.113.9")) or ()
    assert name.isascii()
    assert name.isprintable()
    assert "example.net" in name


def test_one_stranger_is_shown_with_its_names(
    start: Callable[[Settings], Service], settings: Settings, server: NameServer
) -> None:
    server.names = ["gw.branch-9.example.net."]
    service = start(replace(settings, resolver=server.resolver))
    service.add_gateway()
    told(service, seen())
    (found,) = listed(service)
    assert server.asked == []
    shown = service.admin.get(f"/v1/strangers/{found['id']}").json()
    assert shown["names"] == ["gw.branch-9.example.net"]


@pytest.mark.parametrize(
    ("text", "port"),
    [("192.0.2.53", 53), ("192.0.2.53:5353", 5353), ("[2001:db8::53]:53", 53)],
)
def test_a_resolver_is_an_address(monkeypatch: pytest.MonkeyPatch, text: str, port: int) -> None:
    monkeypatch.setenv("PEERGATE_RESOLVER", text)
    found = Settings.from_environment().resolver
    assert found is not None
    assert found.port == port


@pytest.mark.parametrize("text", ["dns.example.net:53", "192.0.2.53:0", "192.0.2.53:x", "::1:53x"])
def test_what_is_no_resolver_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PEERGATE_RESOLVER", text)
    with pytest.raises(SettingsError, match="PEERGATE_RESOLVER"):
        Settings.from_environment()
