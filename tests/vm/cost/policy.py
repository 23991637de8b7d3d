"""The small policy that costs are measured with: that of tests/bpf/site.py and, in both
families, a gateway with an enforcement window and sixteen services on one address, one where
a stranger has prefixes of each length beside it, and a host and a prefix with a finite window at
the first gateway."""

from ipaddress import ip_address

from control.entries import Entries, Entry
from control.model import GatewayRow, Tables
from tests.bpf.bench import ENFORCE, HOUR, NOW, entries, target
from tests.bpf.site import HUB, REGISTERED, SITE, STRANGER, beside

CROWD = 7
CROWDED = {4: "198.51.100.6", 6: "2001:db8::6"}

BESIDE = 8
BESIDES = {4: "198.51.100.7", 6: "2001:db8::7"}

TIMED = {4: "203.0.113.12", 6: "2001:db8:c::c"}
IN_TIMED_PREFIX = {4: "203.0.113.97", 6: "2001:db8:d:1::1"}
PEER_TIMED, PEER_TIMED_PREFIX = 12, 13

# WireGuard's port comes last.
_SERVICES = [*(f"udp/{port}" for port in range(51_000, 51_015)), "wireguard"]
_WINDOW = (NOW - HOUR, NOW + HOUR)

POLICY = Tables(
    gateways={
        **SITE.gateways,
        CROWD: GatewayRow("crowd", *_WINDOW),
        BESIDE: GatewayRow("beside", *ENFORCE),
    },
    targets={
        **SITE.targets,
        **{
            ip_address(address): target(*((CROWD, service) for service in _SERVICES))
            for address in CROWDED.values()
        },
        **{ip_address(address): target((BESIDE, "wireguard")) for address in BESIDES.values()},
    },
    entries=Entries.of(
        {
            **SITE.entries,
            **entries(
                HUB, *((address, Entry(PEER_TIMED, 0, *_WINDOW)) for address in TIMED.values())
            ),
            **entries(
                HUB,
                ("203.0.113.96/27", Entry(PEER_TIMED_PREFIX, 0, *_WINDOW)),
                ("2001:db8:d::/48", Entry(PEER_TIMED_PREFIX, 0, *_WINDOW)),
            ),
            **entries(CROWD, *((address, Entry(7, 0)) for address in REGISTERED.values())),
            **entries(
                BESIDE,
                *((str(net), Entry(8, 0)) for net in beside(ip_address(STRANGER[4]), 17)),
                *((str(net), Entry(8, 0)) for net in beside(ip_address(STRANGER[6]), 33)),
            ),
        }
    ),
)
