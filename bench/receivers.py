"""What users would otherwise put before their gateways, set up as their manuals say.

Each stands in a namespace of its own and drops what is not registered at the device it is given.
Nothing has to be taken down: it goes with the namespace.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop

from pyroute2 import IPRoute

from bench.population import Addresses, Population
from bench.site import PORT, gateway_address
from control import syscalls
from lab.netns import LabError, Namespace

NATIVE = 1 << 2  # XDP_FLAGS_DRV_MODE
XDP_FILTER_HOLDS = 10_000  # what its maps are compiled for
_SOURCE_ONLY = 1  # MAP_FLAG_SRC of xdp-filter
_MOUNTED = "/sys/fs/bpf"


@dataclass(frozen=True, slots=True)
class Place:
    """Where packets arrive: a device in a namespace."""

    namespace: Namespace
    device: str
    limit: float  # seconds that loading a table may take


SetUp = Callable[[Place, Population], None]


def attach(place: Place, fd: int) -> None:
    """An XDP program, by the driver."""
    with place.namespace.entered(), IPRoute() as netlink:
        (index,) = netlink.link_lookup(ifname=place.device)
        attrs = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", NATIVE)]
        netlink.link("set", index=index, xdp={"attrs": attrs})


def nft_interval(place: Place, people: Population) -> None:
    """nftables at the device's ingress, one interval set."""
    _nft(place, people, (_interval_set("s", people, range(len(people))),), "@s")


def nft_hash_interval(place: Place, people: Population) -> None:
    """The same, hosts in a hash set: what nftables is fastest with."""
    hosts = [i for i, host in enumerate(people.is_host.tolist()) if host]
    others = [i for i, host in enumerate(people.is_host.tolist()) if not host]
    name = "ipv4_addr" if people.family == 4 else "ipv6_addr"
    plain = (text.partition("/")[0] for text in _texts(people, hosts))
    sets = (
        _set("h", f"type {name}; size {len(hosts) * 2};", plain),
        _interval_set("p", people, others),
    )
    _nft(place, people, sets, "@h", "@p")


def ipset(place: Place, people: Population) -> None:
    """iptables before connection tracking, and a set of hash:net."""
    v6 = people.family == 6
    family, command = ("inet6", "ip6tables") if v6 else ("inet", "iptables")
    size = 1 << (len(people) - 1).bit_length()
    lines = [f"create s hash:net family {family} hashsize {size} maxelem {2 * size}"]
    lines += [f"add s {text}" for text in _texts(people, range(len(people)))]
    run = place.namespace.run
    run(
        ["ipset", "-exist", "restore"],
        text="\n".join(lines) + "\n",
        check=True,
        timeout=place.limit,
    )
    address = gateway_address(people.family)
    match = f"-d {address} -p udp --dport {PORT} -m set ! --match-set s src -j DROP"
    run([command, "-t", "raw", "-A", "PREROUTING", *match.split()], check=True)


def xdp_filter(place: Place, people: Population) -> None:
    """xdp-filter, denying all but as many hosts as it has room for."""
    family = people.family
    # Its programs go with what they are pinned in, so this process keeps that.
    script = (
        f"mount -t bpf bpf {_MOUNTED} && "
        f"xdp-filter load -m native -p deny -f ipv{family} {place.device} && "
        "echo loaded && exec sleep infinity"
    )
    process = place.namespace.popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        if line == "loaded\n":
            break
        said += line
    else:
        raise LabError(f"xdp-filter was not loaded: {said.strip()}")
    pin = Path(f"/proc/{process.pid}/root{_MOUNTED}/xdp-filter/filter_ipv{family}")
    fd = syscalls.open_pinned(pin)
    value = _SOURCE_ONLY.to_bytes(8, sys.byteorder) * _possible_cpus()
    try:
        for key in held("xdp-filter", people).addresses.packed():
            syscalls.update(fd, key.tobytes(), value)
    finally:
        os.close(fd)


def held(name: str, people: Population) -> Population:
    """Whom this one lets in: xdp-filter has room for some of the hosts; what only drops, nobody."""
    room = {"xdp-filter": XDP_FILTER_HOLDS, "xdp-drop": 0, "parse-drop": 0}
    if name not in room:
        return people
    at = people.is_host.nonzero()[0][: room[name]]
    of = people.addresses
    return Population(Addresses(of.family, of.high[at], of.low[at]), people.lengths[at])


def _possible_cpus() -> int:
    """A value of a per-CPU map has one part for each."""
    last = Path("/sys/devices/system/cpu/possible").read_text().replace("-", ",").split(",")[-1]
    return int(last) + 1


def _nft(place: Place, people: Population, sets: Iterable[str], *names: str) -> None:
    ip = "ip" if people.family == 4 else "ip6"
    unless = " ".join(f"{ip} saddr != {name}" for name in names)
    to = f"{ip} daddr {gateway_address(people.family)} udp dport {PORT}"
    hook = f'type filter hook ingress device "{place.device}" priority 0; policy accept;'
    chain = f"chain in {{ {hook}\n{to} {unless} drop\n}}"
    table = "\n".join(["table netdev gate {", *sets, chain, "}", ""])
    place.namespace.run(["nft", "-f", "-"], text=table, check=True, timeout=place.limit)


def _interval_set(name: str, people: Population, at: Iterable[int]) -> str:
    kind = "ipv4_addr" if people.family == 4 else "ipv6_addr"
    return _set(name, f"type {kind}; flags interval; auto-merge;", _texts(people, at))


def _set(name: str, kind: str, elements: Iterable[str]) -> str:
    return f"set {name} {{ {kind} elements = {{ {', '.join(elements)} }}\n}}"


def _texts(people: Population, at: Iterable[int]) -> Iterator[str]:
    """Prefixes as text, a host as its address with the full length."""
    kind = AF_INET if people.family == 4 else AF_INET6
    packed, lengths = people.addresses.packed(), people.lengths.tolist()
    for i in at:
        yield f"{inet_ntop(kind, packed[i].tobytes())}/{lengths[i]}"


SET_UPS: dict[str, SetUp] = {
    "xdp-filter": xdp_filter,
    "nft-interval": nft_interval,
    "nft-hash-interval": nft_hash_interval,
    "ipset": ipset,
}
