"""The cases: every verdict in both families, and the framings and headers that cost more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Raw

from tests.bpf import site
from tests.bpf.bench import BYSTANDER, OTHER, Outcome
from tests.bpf.frames import LATER, Layer, ether, ip, piece, protocol, udp
from tests.vm.cost.case import Case
from tests.vm.cost.policy import (
    BESIDE,
    BESIDES,
    CROWD,
    CROWDED,
    IN_TIMED_PREFIX,
    PEER_TIMED,
    PEER_TIMED_PREFIX,
    TIMED,
)

Build = Callable[[str, str], Layer]  # from source and destination

REGISTERED = Outcome("registered", "pass", site.HUB, site.PEER_HOST)
WALKED = Outcome("registered", "pass", site.LAB, site.PEER_HOST)  # LAB does not offer AH
CROWDED_HOST = Outcome("registered", "pass", CROWD, site.PEER_HOST)
IN_PREFIX = Outcome("registered", "pass", site.HUB, site.PEER_PREFIX)
STRANGER = Outcome("unregistered", "drop", site.HUB)

NONE = ()
TIME = ("time",)


@dataclass(frozen=True, slots=True)
class Row:
    """A case, or two: one in each family."""

    name: str
    outcome: Outcome
    calls: tuple[str, ...]
    source: dict[int, str]
    destination: dict[int, str] = field(default_factory=lambda: site.GATEWAY)
    packet: Build = lambda source, destination: ip(source, destination) / udp()
    families: tuple[int, ...] = (4, 6)


def _in(outer: Callable[[], Layer]) -> Build:
    return lambda source, destination: outer() / ip(source, destination) / udp()


def _over(upper: Callable[[], Layer]) -> Build:
    return lambda source, destination: ip(source, destination) / upper()


def _later(number: int) -> Build:
    return lambda source, destination: piece(source, destination, number, LATER)


def _cut(source: str, destination: str) -> Layer:
    """Two bytes where the ports should be."""
    family = 6 if ":" in destination else 4
    return ip(source, destination, **protocol(family, 17)) / Raw(b"\x9c\x40")


def _version_5(source: str, destination: str) -> Layer:
    return ip(source, destination, version=5) / udp()


ROWS = (
    Row("bystander", BYSTANDER, NONE, site.STRANGER, site.ELSEWHERE),
    Row("unprotected", Outcome("unprotected", "pass", site.HUB), NONE, site.STRANGER,
        packet=_over(lambda: udp(53))),
    Row("registered: host", REGISTERED, NONE, site.REGISTERED),
    Row("registered: host, VLAN", REGISTERED, NONE, site.REGISTERED,
        packet=_in(lambda: Dot1Q(vlan=7))),
    Row("registered: host, two tags and PPPoE", REGISTERED, NONE, site.REGISTERED,
        packet=_in(lambda: Dot1AD(vlan=7) / Dot1Q(vlan=8) / PPPoE(sessionid=1) / PPP())),
    Row("registered: host, GRE", REGISTERED, NONE, site.REGISTERED, packet=_over(GRE)),
    Row("registered: host, AH walked through", WALKED, NONE, site.REGISTERED, site.MONITORED,
        _over(lambda: AH(nh=17, spi=1, payloadlen=4, icv=b"\0" * 12) / udp())),
    Row("registered: host, destination options", REGISTERED, NONE, site.REGISTERED,
        packet=_over(lambda: IPv6ExtHdrDestOpt() / udp()), families=(6,)),
    Row("registered: host, four extension headers", REGISTERED, NONE, site.REGISTERED,
        packet=_over(lambda: IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt()
                     / IPv6ExtHdrFragment(offset=0, m=1, id=7) / udp()), families=(6,)),
    Row("registered: host, sixteenth service", CROWDED_HOST, NONE, site.REGISTERED, CROWDED),
    Row("registered: host, later fragment", REGISTERED, NONE, site.REGISTERED,
        packet=_later(17)),
    Row("registered: host, later fragment of GRE", REGISTERED, NONE, site.REGISTERED,
        packet=_later(47)),
    Row("registered: host, finite window", Outcome("registered", "pass", site.HUB, PEER_TIMED),
        TIME, TIMED),
    Row("registered: prefix", IN_PREFIX, NONE, site.IN_PREFIX),
    Row("registered: prefix, VLAN", IN_PREFIX, NONE, site.IN_PREFIX,
        packet=_in(lambda: Dot1Q(vlan=7))),
    Row("registered: prefix, finite window",
        Outcome("registered", "pass", site.HUB, PEER_TIMED_PREFIX), TIME,
        IN_TIMED_PREFIX),
    Row("expired", Outcome("expired", "drop", site.HUB, site.PEER_EXPIRED),
        TIME, site.EXPIRED),
    Row("unregistered", STRANGER, NONE, site.STRANGER),
    Row("unregistered: VLAN", STRANGER, NONE, site.STRANGER,
        packet=_in(lambda: Dot1Q(vlan=7))),
    Row("unregistered: destination options", STRANGER, NONE, site.STRANGER,
        packet=_over(lambda: IPv6ExtHdrDestOpt() / udp()), families=(6,)),
    Row("unregistered: later fragment", STRANGER, NONE, site.STRANGER, packet=_later(17)),
    Row("unregistered: prefixes of each length beside it", Outcome("unregistered", "drop", BESIDE),
        NONE, site.STRANGER, BESIDES),
    Row("unregistered: not yet valid",
        Outcome("unregistered", "drop", site.HUB, site.PEER_FUTURE),
        TIME, site.FUTURE),
    Row("unregistered: monitored", Outcome("unregistered", "pass", site.LAB), NONE,
        site.STRANGER, site.MONITORED),
    Row("unregistered: enforcement window, sixteenth service",
        Outcome("unregistered", "drop", CROWD), TIME, site.STRANGER, CROWDED),
    Row("malformed: version", Outcome("malformed", "drop", site.HUB), NONE,
        site.STRANGER, packet=_version_5),
    Row("malformed: ports cut off", Outcome("malformed", "drop", site.HUB),
        NONE, site.STRANGER, packet=_cut),
)  # fmt: skip


def cases() -> Iterator[Case]:
    yield Case("other: ARP", ether(ARP(pdst=site.GATEWAY[4])), "", "", OTHER, NONE)
    for row in ROWS:
        for family in row.families:
            source, destination = row.source[family], row.destination[family]
            frame = ether(row.packet(source, destination))
            name = f"{row.name}, IPv{family}"
            yield Case(name, frame, source, destination, row.outcome, row.calls)
