"""A packet to ask about: the words that people, registry and routers have for it."""

from dataclasses import dataclass
from ipaddress import ip_address

from policy.errors import PolicyError, Problem
from policy.prefixes import Address
from policy.services import TCP, UDP, Service

PROTOCOLS = {
    "icmp": 1,
    "ipip": 4,
    "tcp": TCP,
    "udp": UDP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ospf": 89,
    "vrrp": 112,
    "sctp": 132,
}
# Where nobody says which.
SOURCE_PORT = 49152


@dataclass(frozen=True, slots=True)
class Question:
    """A packet to ask about. Ports are there for UDP and TCP alone."""

    source: Address
    destination: Address
    protocol: int
    source_port: int | None = None
    port: int | None = None

    @property
    def service(self) -> Service:
        return Service(self.protocol, self.port)

    def to_json(self) -> dict[str, str | int | None]:
        return {
            "src": str(self.source),
            "dst": str(self.destination),
            "proto": self.protocol,
            "sport": self.source_port,
            "dport": self.port,
        }


def question(src: str, dst: str, proto: str, sport: int | None, dport: int | None) -> Question:
    """From what people write; ports are 0 to 65535. Raises PolicyError with one problem."""
    source, destination = _address("src", src), _address("dst", dst)
    if source.version != destination.version:
        raise _refused("dst", dst, f"src is {src}: one is IPv4, the other IPv6")
    number = PROTOCOLS.get(proto.lower())
    if number is None and proto.isascii() and proto.isdigit() and len(proto) <= 3:
        number = int(proto)
    if number is None or number > 255:
        raise _refused("proto", proto, f"one of {', '.join(PROTOCOLS)}, or 0 to 255")
    if number not in (TCP, UDP):
        if sport is not None or dport is not None:
            raise _refused("proto", proto, "has no ports: leave out sport and dport")
        return Question(source, destination, number)
    if dport is None:
        raise _refused("proto", proto, "give the port with dport")
    return Question(source, destination, number, SOURCE_PORT if sport is None else sport, dport)


def _address(field: str, text: str) -> Address:
    if "%" in text:  # after it anything may stand, and goes on to the router
        raise _refused(field, text, "an address here has no zone: leave out what follows %")
    try:
        return ip_address(text)
    except ValueError:
        raise _refused(field, text, "not an IPv4 or IPv6 address") from None


def _refused(field: str, value: str, rule: str) -> PolicyError:
    return PolicyError((Problem(field, value[:200], rule),))
