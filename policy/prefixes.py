"""Addresses and prefixes, with the bounds that DESIGN.md sets on them."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ADDRESSES_PER_GATEWAY = 256
ADDRESSES_PER_ROUTER = 4096
SHORTEST_SOURCE = {4: 8, 6: 16}

_MAPPED = IPv6Network("::ffff:0:0/96")
_NOT_UNICAST = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
    IPv6Network("::/127"),
    IPv6Network("ff00::/8"),
)

# Nobody on the internet has these.
_NOT_ROUTED = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
)


class Cover:
    """Prefixes, and whether one of them covers another; it costs a look for each length."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._there: set[tuple[int, int, int]] = set()
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        for network in networks:
            self._there.add(head(network, network.prefixlen))
            self._lengths[network.version].add(network.prefixlen)

    def covers(self, network: Network) -> bool:
        return any(
            length <= network.prefixlen and head(network, length) in self._there
            for length in self._lengths[network.version]
        )


def head(network: Network, length: int) -> tuple[int, int, int]:
    """The prefix of that length that it is in, as a key."""
    rest = network.max_prefixlen - length
    return network.version, length, int(network.network_address) >> rest


def _overlaps(a: Network, b: Network) -> bool:
    return a.version == b.version and a.overlaps(b)


def _parse(text: str) -> Network:
    if "%" in text:
        raise ValueError("an address here has no zone: leave out what follows %")
    host_bits_set = False
    try:
        network = ip_network(text)
    except ValueError:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError("not an IPv4 or IPv6 address or prefix") from None
        host_bits_set = True
    if "/" in text and not text.rpartition("/")[2].isdigit():
        raise ValueError("a prefix length is a decimal number, not a mask")
    if host_bits_set:
        raise ValueError(f"host bits are set: did you mean {network}?")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError("IPv4-mapped IPv6 addresses are not seen on a wire: write the IPv4 one")
    return network


def parse_trusted(text: str) -> Network:
    """Whose word on a client's address counts. Raises ValueError with the rule."""
    network = _parse(text)
    if network.prefixlen == 0:
        raise ValueError("this is everybody: name the proxies alone")
    return network


def parse_gateway_block(text: str) -> Network:
    """A gateway's address, or a block of at most 256. Raises ValueError with the rule."""
    network = _parse(text)
    if network.num_addresses > ADDRESSES_PER_GATEWAY:
        raise ValueError("a gateway is at most 256 addresses: IPv4 /24, IPv6 /120")
    if any(_overlaps(network, other) for other in _NOT_UNICAST):
        raise ValueError("a gateway's address is a unicast address of the operator's own")
    return network


def parse_source(text: str) -> Network:
    """A prefix that tunnel packets come from. Raises ValueError with the rule."""
    network = _parse(text)
    shortest = SHORTEST_SOURCE[network.version]
    if network.prefixlen < shortest:
        raise ValueError(
            f"an IPv{network.version} source is /{shortest} to /{network.max_prefixlen}: "
            "whoever wants wider leaves the gateway in monitor"
        )
    return network


def is_routed(network: Network) -> bool:
    """Whether all of it may be somebody's on the internet: unicast, and not for private use."""
    mapped = network.version == 6 and _overlaps(network, _MAPPED)
    return not mapped and not any(
        _overlaps(network, other) for other in (*_NOT_UNICAST, *_NOT_ROUTED)
    )
