"""The network that tests and demo run in: an edge router between the internet and two hosts.

    branch 203.0.113.7 ---\\                                     /--- gateway   198.51.100.1
    2001:db8:7::7          internet --- uplink [router] ---------    2001:db8::1
    stranger 192.0.2.66 --/                       |             \\--- bystander 198.51.100.129
    2001:db8:66::66                          management              2001:db8:2::1
                                                  |
                                        registry 192.0.2.129

The program belongs on the router's link `uplink`. Every host's own link is `eth0`.
Offloads stay as they are: TCP, UDP and fragments pass native XDP on a veth with
checksum offload on (tried on Linux 6.18), and so do raw frames.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from lab.netns import Namespace, veth

BRANCH = "203.0.113.7"
STRANGER = "192.0.2.66"
GATEWAY = "198.51.100.1"
BYSTANDER = "198.51.100.129"
BRANCH_V6 = "2001:db8:7::7"
STRANGER_V6 = "2001:db8:66::66"
GATEWAY_V6 = "2001:db8::1"
BYSTANDER_V6 = "2001:db8:2::1"
REGISTRY = "192.0.2.129"

UPLINK = "uplink"

DEFAULT_V4 = "0.0.0.0/0"
DEFAULT_V6 = "::/0"


class Topology:
    """The network above, all of it gone when the context ends."""

    def __init__(self, label: str) -> None:
        with ExitStack() as stack:
            self.internet = stack.enter_context(Namespace(f"{label}-internet"))
            self.router = stack.enter_context(Namespace(f"{label}-router"))
            self.branch = stack.enter_context(Namespace(f"{label}-branch"))
            self.stranger = stack.enter_context(Namespace(f"{label}-stranger"))
            self.gateway = stack.enter_context(Namespace(f"{label}-gateway"))
            self.bystander = stack.enter_context(Namespace(f"{label}-bystander"))
            self.registry = stack.enter_context(Namespace(f"{label}-registry"))
            self.internet.forward()
            self.router.forward()
            self._wire()
            self._stack = stack.pop_all()

    def _join_uplink(self) -> None:
        """The router's `uplink` and the link `router` of the internet, both up."""
        veth(self.router, UPLINK, self.internet, "router")

    def _wire(self) -> None:
        internet, router = self.internet, self.router
        self._join_uplink()
        internet.add_address("router", "192.0.2.1/30")
        internet.add_address("router", "2001:db8:ff::1/64")
        router.add_address(UPLINK, "192.0.2.2/30")
        router.add_address(UPLINK, "2001:db8:ff::2/64")
        internet.add_route("198.51.100.0/24", "192.0.2.2")
        internet.add_route("2001:db8::/48", "2001:db8:ff::2")
        internet.add_route("2001:db8:2::/48", "2001:db8:ff::2")
        router.add_route(DEFAULT_V4, "192.0.2.1")
        router.add_route(DEFAULT_V6, "2001:db8:ff::1")

        self._host(
            self.branch, internet, "branch",
            (f"{BRANCH}/24", "203.0.113.254"), (f"{BRANCH_V6}/64", "2001:db8:7::fe"),
        )  # fmt: skip
        self._host(
            self.stranger, internet, "stranger",
            (f"{STRANGER}/26", "192.0.2.126"), (f"{STRANGER_V6}/64", "2001:db8:66::fe"),
        )  # fmt: skip
        self._host(
            self.gateway, router, "gateway",
            (f"{GATEWAY}/25", "198.51.100.126"), (f"{GATEWAY_V6}/64", "2001:db8::fe"),
        )  # fmt: skip
        self._host(
            self.bystander, router, "bystander",
            (f"{BYSTANDER}/25", "198.51.100.254"), (f"{BYSTANDER_V6}/64", "2001:db8:2::fe"),
        )  # fmt: skip

        veth(router, "management", self.registry, "eth0")
        router.add_address("management", "192.0.2.130/30")
        self.registry.add_address("eth0", f"{REGISTRY}/30")

    @staticmethod
    def _host(host: Namespace, router: Namespace, link: str, *pairs: tuple[str, str]) -> None:
        """Join a host by its `eth0`; each pair is its address with length, and the router's."""
        veth(host, "eth0", router, link)
        for address, via in pairs:
            length = address.partition("/")[2]
            host.add_address("eth0", address)
            router.add_address(link, f"{via}/{length}")
            host.add_route(DEFAULT_V6 if ":" in via else DEFAULT_V4, via)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()
