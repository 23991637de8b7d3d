"""The machine's two virtio_net cards, which are joined by a hub outside of it."""

import socket

from pyroute2 import IPRoute

from control import ethtool, links
from lab.netns import LabError, Namespace
from lab.topology import UPLINK, Topology
from lab.watch import wait_until

DRIVER = "virtio_net"

# For QEMU: two cards on one hub, with no way out.
HUB = tuple(
    word
    for name in ("left", "right")
    for word in (
        *("-netdev", f"hubport,hubid=0,id={name}"),
        *("-device", f"virtio-net-pci,netdev={name}"),
    )
)


def free_cards() -> list[str]:
    """The cards that no namespace of a test holds; they come back some time after it closed."""
    names = sorted(name for _, name in socket.if_nameindex())
    return [name for name in names if ethtool.driver(name) == DRIVER]


def join_cards(a: Namespace, a_name: str, b: Namespace, b_name: str) -> None:
    """As lab.netns.veth does: a link in each namespace, both up."""
    if not wait_until(lambda: len(free_cards()) == 2, 150):
        raise LabError(f"the free {DRIVER} cards are {free_cards()}, not two")
    places = ((a, a_name), (b, b_name))
    with IPRoute() as netlink:
        for old, (namespace, name) in zip(free_cards(), places, strict=True):
            (index,) = netlink.link_lookup(ifname=old)
            netlink.link("set", index=index, state="down")
            for flag in links.MODE_FLAG["native"], links.MODE_FLAG["generic"]:
                # A program stays with a card that changes its namespace.
                attributes = [("IFLA_XDP_FD", links.DETACH), ("IFLA_XDP_FLAGS", flag)]
                netlink.link("set", index=index, xdp={"attrs": attributes})
            netlink.link("set", index=index, net_ns_fd=namespace.fd, ifname=name, mtu=1500)
    for namespace, name in places:
        namespace.up(name)


class CardTopology(Topology):
    """The lab's network, its uplink between two virtio_net cards."""

    def _join_uplink(self) -> None:
        join_cards(self.router, UPLINK, self.internet, "router")
