"""Policies that the frames are judged by: windows in the past, the present and the future."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from control.model import Allowlist, Gateway, Peer
from policy.services import parse_service
from policy.window import Window

BASE = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = Window()
Hours = tuple[int | None, int | None]
Registration = tuple[int, str, str, Hours]  # id, gateway, sources, window in hours from the base


def gateway(name: str, addresses: str, services: str, enforce: Window | None) -> Gateway:
    return Gateway(
        name=name,
        addresses=tuple(ip_network(text) for text in addresses.split()),
        services=tuple(s for text in services.split() for s in parse_service(text)),
        enforce=enforce,
    )


def peers(base: datetime, rows: list[Registration]) -> tuple[Peer, ...]:
    return tuple(
        Peer(
            id=id_,
            name=f"peer-{id_}",
            gateway=where,
            owner="Branch networks",
            contact="netops@example.net",
            purpose="differential test",
            sources=tuple(ip_network(text) for text in sources.split()),
            valid=between(base, *hours),
        )
        for id_, where, sources, hours in rows
    )


def between(base: datetime, start: int | None, end: int | None) -> Window:
    return Window(
        None if start is None else base + start * HOUR,
        None if end is None else base + end * HOUR,
    )


def nested(where: str, first_id: int, v4: str, v6: str) -> list[Registration]:
    """Prefixes inside prefixes below `v4`.0/24 and `v6`::/48, every mix of windows among them."""
    past, present, future = (-5, -2), (-3, 4), (2, 9)
    ever = (None, None)
    rows: list[tuple[str, Hours]] = [
        # Alone.
        (f"{v4}.1/32 {v6}:1::1/128", ever),
        (f"{v4}.2/32 {v6}:2::/64", past),
        (f"{v4}.3/32 {v6}:3::/64", future),
        # An ended host inside a valid prefix, inside one to come; a host to come inside an ended.
        (f"{v4}.16/28 {v6}:10::/60", present),
        (f"{v4}.17/32 {v6}:11::/64 {v6}:11::1/128", past),
        (f"{v4}.18/31 {v6}:12::/64", future),
        (f"{v4}.32/27 {v6}:20::/60", past),
        (f"{v4}.33/32 {v6}:21::1/128", future),
        # Two share a prefix: one ended and one holds; both ended; windows with a gap between.
        (f"{v4}.64/30 {v6}:30::/64", past),
        (f"{v4}.64/30 {v6}:30::/64", (-2, None)),
        (f"{v4}.72/30 {v6}:31::/64", (None, -4)),
        (f"{v4}.72/30 {v6}:31::/64", past),
        (f"{v4}.80/32 {v6}:32::/64", past),
        (f"{v4}.80/32 {v6}:32::/64", future),
        (f"{v4}.80/29 {v6}:30::/62", (5, None)),
        # Wide ones under some of these.
        (f"{v4}.128/25 {v6}:8000::/49", (-1, 1)),
        (f"{v4}.192/26 {v6}:c000::/50", (1, 3)),
        (f"{v4}.200/32 {v6}:c001::1/128", (-9, -1)),
    ]
    # Ids fall, so that the lowest is not the first.
    last = first_id + len(rows) - 1
    return [(last - i, where, sources, hours) for i, (sources, hours) in enumerate(rows)]


def single(base: datetime) -> tuple[list[Gateway], tuple[Peer, ...]]:
    """One IPv4 address, one gateway that enforces."""
    hub = gateway("hub", "198.51.100.1", "wireguard", ALWAYS)
    return [hub], peers(base, nested("hub", 1, "203.0.113", "2001:db8:7"))


def shared(base: datetime) -> tuple[list[Gateway], tuple[Peer, ...]]:
    """Three gateways on one address of either family; AH is a service; one enforces."""
    where = "198.51.100.1 2001:db8:1::1"
    rows = nested("ipsec", 100, "203.0.113", "2001:db8:7") + nested(
        "wg", 500, "192.0.2", "2001:db8:8"
    )
    rows += [
        (7, "wg", "203.0.113.0/26 2001:db8:7::/56", (None, 1)),
        (900, "ipsec", "192.0.2.64/26 2001:db8:8:30::/60", (-4, -3)),
        (901, "spare", "203.0.113.2 203.0.113.3 192.0.2.128/25 2001:db8:7:2::/63", (None, None)),
    ]
    gateways = [
        gateway("ipsec", where, "ipsec tcp/443", None),
        gateway("wg", where + " 198.51.100.2", "wireguard udp/4433 tcp/4433 ipip proto/97", ALWAYS),
        gateway("spare", where, "gre", between(base, 1, 3)),
    ]
    return gateways, peers(base, rows)


def blocks(base: datetime) -> tuple[list[Gateway], tuple[Peer, ...]]:
    """Blocks in both families, and a gateway on some of the addresses of another's block."""
    rows = nested("pool", 40, "203.0.113", "2001:db8:7") + nested(
        "inner", 10, "203.0.113", "2001:db8:7"
    )
    rows += [(4294967295, "pool", "192.0.0.0/8 2001::/16", (-1, 6))]
    gateways = [
        gateway(
            "pool",
            "198.51.100.16/28 198.51.100.64/30 2001:db8:1::40/122",
            "openvpn proto/97",
            ALWAYS,
        ),
        gateway("inner", "198.51.100.20/31 2001:db8:1::48/126", "l2tp gre", between(base, -1, 2)),
    ]
    return gateways, peers(base, rows)


def monitor(base: datetime) -> tuple[list[Gateway], tuple[Peer, ...]]:
    """Two gateways that only count; SSTP is the one TCP service of an address without UDP."""
    rows = nested("sstp", 1, "203.0.113", "2001:db8:7") + nested(
        "hub", 50, "203.0.113", "2001:db8:7"
    )
    gateways = [
        gateway("hub", "198.51.100.1 2001:db8:1::1", "wireguard ipsec", None),
        gateway("sstp", "198.51.100.2 2001:db8:1::2", "sstp", None),
    ]
    return gateways, peers(base, rows)


def window(base: datetime) -> tuple[list[Gateway], tuple[Peer, ...]]:
    """Dual stack without AH among the services; enforcement begins and ends."""
    rows = nested("edge", 1, "203.0.113", "2001:db8:7") + nested("old", 70, "192.0.2", "2001:db8:8")
    gateways = [
        gateway(
            "edge",
            "198.51.100.1 2001:db8:1::1",
            "wireguard gre ipip proto/50 openvpn",
            between(base, -2, 2),
        ),
        gateway(
            "old", "198.51.100.9 2001:db8:1::9", "l2tp proto/50 proto/255", between(base, None, -1)
        ),
        gateway("next", "198.51.100.9 2001:db8:1::9", "sstp wireguard", between(base, 1, None)),
    ]
    return gateways, peers(base, rows)


SITES = {make.__name__: make for make in (single, shared, blocks, monitor, window)}


def site(name: str, base: datetime) -> Allowlist:
    """The policy of this name with its windows around `base`."""
    gateways, registered = SITES[name](base)
    return Allowlist("differential", 1, base, tuple(gateways), registered)


def moments(allowlist: Allowlist) -> tuple[datetime, ...]:
    """When anything begins or ends: the moment itself, and the microseconds around it."""
    windows = [peer.valid for peer in allowlist.peers]
    windows += [g.enforce for g in allowlist.gateways if g.enforce is not None]
    bounds = {b for w in windows for b in (w.start, w.end) if b is not None}
    step = timedelta(microseconds=1)
    return tuple(sorted({bound + k * step for bound in bounds for k in (-1, 0, 1)}))
