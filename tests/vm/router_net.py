"""The network around the virtual router: namespaces of this machine, joined to it by taps.

    branch 203.0.113.7 --\\         tap                tap       /-- gateway 198.51.100.1
    2001:db8:7::7         internet --- uplink[router]lan --- inside     2001:db8::1
    stranger 192.0.2.66 -/                                      \\-- bystander 198.51.100.129
    2001:db8:66::66                                                     2001:db8:2::1

The addresses are those of lab/topology.py. A host may also be a namespace of the virtual machine:
then a tap leads to a network card of its own.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from lab.netns import Namespace, veth
from lab.topology import (
    BRANCH,
    BRANCH_V6,
    BYSTANDER,
    BYSTANDER_V6,
    DEFAULT_V4,
    DEFAULT_V6,
    GATEWAY,
    GATEWAY_V6,
    STRANGER,
    STRANGER_V6,
)  # fmt: skip
from tests.vm.tap import open_tap

TAP = "router"
UPLINK, UPLINK_V6 = "192.0.2.2", "2001:db8:ff::2"
LAN, LAN_V6 = "192.0.2.130", "2001:db8:fe::2"
INTERNET, INTERNET_V6 = "192.0.2.1", "2001:db8:ff::1"
INSIDE, INSIDE_V6 = "192.0.2.129", "2001:db8:fe::1"
GUARDED = ("198.51.100.0/24", "2001:db8::/48", "2001:db8:2::/48")


@dataclass(frozen=True, slots=True)
class Host:
    """`pairs` are its addresses with their lengths, and the next hop of each."""

    outside: bool
    pairs: tuple[tuple[str, str], ...]


HOSTS = {
    "branch": Host(
        True, ((f"{BRANCH}/24", "203.0.113.254"), (f"{BRANCH_V6}/64", "2001:db8:7::fe"))
    ),
    "stranger": Host(
        True, ((f"{STRANGER}/26", "192.0.2.126"), (f"{STRANGER_V6}/64", "2001:db8:66::fe"))
    ),
    "gateway": Host(
        False, ((f"{GATEWAY}/25", "198.51.100.126"), (f"{GATEWAY_V6}/64", "2001:db8::fe"))
    ),
    "bystander": Host(
        False, ((f"{BYSTANDER}/25", "198.51.100.254"), (f"{BYSTANDER_V6}/64", "2001:db8:2::fe"))
    ),
}


def default_route(via: str) -> str:
    return DEFAULT_V6 if ":" in via else DEFAULT_V4


@dataclass(slots=True)
class Around:
    """`hosts` are namespaces; `fds` the taps' descriptors, one for each pair of queues."""

    internet: Namespace
    inside: Namespace
    hosts: dict[str, Namespace] = field(default_factory=dict)
    fds: dict[str, list[int]] = field(default_factory=dict)

    def set_mtu(self, mtu: int) -> None:
        """Of every link, also of those that are no way to the router."""
        for namespace in (self.internet, self.inside, *self.hosts.values()):
            for link in namespace.links():
                if link != "lo":
                    namespace.set_link(link, mtu=mtu)


@contextmanager
def around(label: str, queues: int, in_guest: tuple[str, ...]) -> Iterator[Around]:
    """All of it but the machine; the hosts `in_guest` get a tap, the others a namespace.

    The cards `uplink` and `lan` have as many pairs of queues as told.
    """
    with ExitStack() as stack:
        net = Around(
            stack.enter_context(Namespace(f"{label}-internet")),
            stack.enter_context(Namespace(f"{label}-inside")),
        )
        for side in (net.internet, net.inside):
            side.forward()
        net.fds["uplink"] = open_tap(net.internet, TAP, queues)
        net.fds["lan"] = open_tap(net.inside, TAP, queues)
        for name, host in HOSTS.items():
            side = net.internet if host.outside else net.inside
            if name in in_guest:
                net.fds[name] = open_tap(side, name)
            else:
                net.hosts[name] = stack.enter_context(Namespace(f"{label}-{name}"))
                veth(net.hosts[name], "eth0", side, name)
            for address, via in host.pairs:
                side.add_address(name, f"{via}/{address.partition('/')[2]}")
                if name in net.hosts:
                    net.hosts[name].add_address("eth0", address)
                    net.hosts[name].add_route(default_route(via), via)
        net.internet.add_address(TAP, f"{INTERNET}/30")
        net.internet.add_address(TAP, f"{INTERNET_V6}/64")
        net.inside.add_address(TAP, f"{INSIDE}/30")
        net.inside.add_address(TAP, f"{INSIDE_V6}/64")
        for prefix in GUARDED:
            net.internet.add_route(prefix, UPLINK_V6 if ":" in prefix else UPLINK)
        for via in (LAN, LAN_V6):
            net.inside.add_route(default_route(via), via)
        yield net
