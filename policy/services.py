"""What a gateway offers: an IP protocol, and for UDP and TCP a port."""

from dataclasses import dataclass

TCP = 6
UDP = 17

# Ports of UDP and TCP need their protocol's own form; the others are parts of IP itself
# (extension headers, ICMP, IGMP, no-next-header, mobility, HIP, shim6) and not tunnels.
REFUSED_PROTOCOLS = frozenset({0, 1, 2, TCP, UDP, 43, 44, 58, 59, 60, 135, 139, 140})
SERVICES_PER_ADDRESS = 16


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """An IP protocol number and, for UDP and TCP alone, a port (host order)."""

    protocol: int
    port: int | None = None

    def __str__(self) -> str:
        if self.protocol == UDP:
            return f"udp/{self.port}"
        if self.protocol == TCP:
            return f"tcp/{self.port}"
        return f"proto/{self.protocol}"


PRESETS: dict[str, tuple[Service, ...]] = {
    "wireguard": (Service(UDP, 51820),),
    "ipsec": (Service(UDP, 500), Service(UDP, 4500), Service(50), Service(51)),
    "openvpn": (Service(UDP, 1194), Service(TCP, 1194)),
    "l2tp": (Service(UDP, 1701),),
    "gre": (Service(47),),
    "ipip": (Service(4),),
    "sstp": (Service(TCP, 443),),
}

_SHARED_PORTS = {
    Service(TCP, 22): "SSH to the gateway is then for registered peers only",
    Service(TCP, 443): "every HTTPS client of this address then needs a registration",
}


def parse_service(text: str) -> tuple[Service, ...]:
    """The services that `text` names: a preset's, or the one of udp/N, tcp/N, proto/N.

    Raises ValueError with the rule that `text` breaks.
    """
    if preset := PRESETS.get(text):
        return preset
    kind, slash, digits = text.partition("/")
    if not slash or kind not in ("udp", "tcp", "proto"):
        raise ValueError(f"a service is one of {', '.join(PRESETS)}, or udp/N, tcp/N, proto/N")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise ValueError(f"{kind}/N wants a decimal number")
    number = int(digits)
    if kind != "proto":
        if not 1 <= number <= 65535:
            raise ValueError("a port is 1 to 65535")
        return (Service(UDP if kind == "udp" else TCP, number),)
    if number > 255:
        raise ValueError("an IP protocol is 0 to 255")
    if number in (TCP, UDP):
        name = "tcp" if number == TCP else "udp"
        raise ValueError(f"TCP and UDP need a port: write {name}/N")
    if number in REFUSED_PROTOCOLS:
        raise ValueError("this protocol belongs to IP itself and cannot be guarded as a service")
    return (Service(number),)


def warning(service: Service) -> str | None:
    """What an operator should know before guarding this service, if anything."""
    return _SHARED_PORTS.get(service)
