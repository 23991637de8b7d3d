"""The network devices of a router as the kernel describes them: read only.

Beside control/links.py, which attaches, this module alone imports pyroute2.
"""

import os
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

from control.errors import LinkError

# linux/if.h, linux/if_arp.h, linux/netdev.h
_IFF_UP = 1 << 0
_ARPHRD_ETHER = 1
_NETDEV_CMD_DEV_GET = 1


@dataclass(frozen=True, slots=True)
class Device:
    """One link. `lower` and `master` are indexes of links in this network namespace.

    `kind` is rtnetlink's (vlan, gre ...), and None for hardware; for tun devices it is tun or tap.
    """

    index: int
    name: str
    kind: str | None
    mtu: int
    ethernet: bool
    up: bool
    carrier: bool
    lower: int | None = None
    master: int | None = None
    rx_queues: int = 1
    tx_queues: int = 1
    other_names: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        return self.other_names | {self.name}


@dataclass(frozen=True, slots=True)
class XdpFeatures:
    """What a driver says that it can do with XDP (linux/netdev.h, from Linux 6.3 on)."""

    native: bool
    multi_buffer: bool
    offload: bool

    @classmethod
    def of(cls, bits: int) -> "XdpFeatures":
        return cls(bool(bits & 1 << 0), bool(bits & 1 << 5), bool(bits & 1 << 4))


class _NetdevMessage(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    prefix = "NETDEV_A_DEV_"
    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "none"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def devices() -> tuple[Device, ...]:
    """Every link of this network namespace. Raises LinkError."""
    try:
        with IPRoute() as netlink:
            return tuple(_device(link) for link in netlink.get_links())
    except NetlinkError as error:
        raise LinkError(f"links cannot be listed: {os.strerror(error.code)}") from None


def xdp_features() -> dict[int, XdpFeatures] | None:
    """By the index of the link; None where the kernel does not say (before Linux 6.3)."""
    message = _NetdevMessage()
    message["cmd"], message["version"] = _NETDEV_CMD_DEV_GET, 1
    try:
        with GenericNetlinkSocket() as netlink:
            netlink.bind("netdev", _NetdevMessage)
            answers = netlink.nlm_request(
                message, msg_type=netlink.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP
            )
            return {
                int(each.get_attr("NETDEV_A_DEV_IFINDEX")): XdpFeatures.of(bits)
                for each in answers
                if (bits := each.get_attr("NETDEV_A_DEV_XDP_FEATURES")) is not None
            }
    except NetlinkError:
        return None


def names(link: Any) -> frozenset[str]:  # noqa: ANN401  # pyroute2's message, without types
    """A link's name and its alternative ones."""
    others = link.get_attr("IFLA_PROP_LIST")
    found = others.get_attrs("IFLA_ALT_IFNAME") if others else []
    return frozenset([link.get_attr("IFLA_IFNAME"), *found])


def _device(link: Any) -> Device:  # noqa: ANN401  # pyroute2's message, without types
    about = link.get_attr("IFLA_LINKINFO")
    kind = about and about.get_attr("IFLA_INFO_KIND")
    ethernet = link["ifi_type"] == _ARPHRD_ETHER
    if kind == "tun" and ethernet:
        kind = "tap"
    # A lower link in another namespace has an index that means nothing here.
    elsewhere = link.get_attr("IFLA_LINK_NETNSID") is not None
    return Device(
        index=int(link["index"]),
        name=link.get_attr("IFLA_IFNAME"),
        kind=kind or None,
        mtu=int(link.get_attr("IFLA_MTU")),
        ethernet=ethernet,
        up=bool(link["flags"] & _IFF_UP),
        carrier=bool(link.get_attr("IFLA_CARRIER")),
        lower=None if elsewhere else link.get_attr("IFLA_LINK"),
        master=link.get_attr("IFLA_MASTER"),
        rx_queues=int(link.get_attr("IFLA_NUM_RX_QUEUES") or 1),
        tx_queues=int(link.get_attr("IFLA_NUM_TX_QUEUES") or 1),
        other_names=names(link),
    )
