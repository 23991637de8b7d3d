"""Tunnels that end on the router itself: peergate sees their outside, not the packets in them."""

from collections.abc import Iterator

from control.devices import Device
from control.doctor import sysctl
from control.doctor.finding import Finding
from control.doctor.router import Router
from control.routes import security_associations

_INSIDE = "packets for a gateway that come out of it are not seen by peergate"
_MEND = "end it behind the gateways' edge, or filter what leaves it towards the gateways"

# rtnetlink's kinds. PPPoE is no such tunnel: the program looks into it.
KINDS = {
    "amt": "AMT",
    "bareudp": "bareudp",
    "erspan": "ERSPAN",
    "geneve": "Geneve",
    "gre": "GRE",
    "gretap": "GRE",
    "gtp": "GTP",
    "ip6erspan": "ERSPAN",
    "ip6gre": "GRE",
    "ip6gretap": "GRE",
    "ip6tnl": "IPv6 tunnel",
    "ipip": "IPIP",
    "macsec": "MACsec",
    "ovpn": "OpenVPN",
    "sit": "SIT",
    "tun": "a VPN program's",
    "vti": "IPsec",
    "vti6": "IPsec",
    "vxlan": "VXLAN",
    "wireguard": "WireGuard",
    "xfrm": "IPsec",
}

# As many tags as the program looks behind.
VLAN_TAGS = 2


def tunnels(router: Router) -> Iterator[Finding]:
    found = [finding for device in router.devices for finding in tunnel(router, device)]
    found += [*mpls(*_labels()), *ipsec(security_associations())]
    yield from found or [Finding("ok", "tunnels", "none ends on this router")]


def tunnel(router: Router, device: Device) -> Iterator[Finding]:
    if device.kind in KINDS:
        if router.is_configured(device) and device.ethernet:
            return
        yield Finding(
            # Modules make devices of their own (tunl0, gre0), which are down.
            "warning" if device.up else "note",
            device.name,
            f"a tunnel ({KINDS[device.kind]}) ends on this router"
            f"{'' if device.up else ', its device is down'}: {_INSIDE}",
            _MEND if device.up else f"leave it down, or: ip link del {device.name}",
        )
    tags = 0
    for each in router.below(device):
        if router.is_configured(each):
            break
        tags += each.kind == "vlan"
    if tags > VLAN_TAGS:
        yield Finding(
            "warning",
            device.name,
            f"{tags} VLAN tags: peergate looks behind {VLAN_TAGS}, the rest is `other`, and passes",
            "put the VLAN device below it into `interfaces`, in place of the link itself",
        )


def _labels() -> tuple[int, list[str]]:
    """How many labels there may be, and the interfaces where labelled packets are taken."""
    accepting = [name for name, on in sysctl.of_interfaces("net/mpls/conf", "input") if on]
    return sysctl.read("net/mpls/platform_labels") or 0, accepting


def mpls(labels: int, accepting: list[str]) -> Iterator[Finding]:
    if labels and accepting:
        yield Finding(
            "warning",
            "mpls",
            f"labelled packets are taken on {', '.join(accepting)}: peergate does not look "
            "behind labels",
            f"sysctl -w net.mpls.conf.{accepting[0]}.input=0, where no label switching is needed",
        )


def ipsec(associations: int | None) -> Iterator[Finding]:
    if associations:
        yield Finding(
            "warning",
            "ipsec",
            f"{associations} IPsec associations end on this router: {_INSIDE}, if they are of "
            "tunnel mode (ip xfrm state)",
            _MEND,
        )
