"""A flood of unregistered packets over a veth: what the receiver takes, beside what others would.

A generator sends live frames (BPF_PROG_TEST_RUN) from one namespace; in as many others stand the
receivers, each behind a link of its own. All of it runs on one CPU, in one thread's time:
what making the packets costs is measured in the same round and taken off.
"""

import ctypes
import fcntl
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import lookup, receivers, testrun
from bench.lookup import WrongVerdictError
from bench.mode import Mode
from bench.population import Population
from bench.programs import WALK4, WALK6, Programs
from bench.receivers import SET_UPS, Place, SetUp
from bench.rows import Row, ratio
from bench.site import Router, frame, gateway_address
from lab.netns import LabError, Namespace, veth

PEERGATE = "peergate"
# What nobody can be cheaper than: a packet dropped unread, and one of which the headers were read.
FLOORS = {"xdp-drop": "drop", "parse-drop": "parse_and_drop"}
DEVICE = "in0"
CHECKED = 20_000
SETTLED_S = 1.0
SLOW_NS = 1_000

_SIOCETHTOOL, _SET_GRO = 0x8946, 0x2C


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where the generator reaches it, and what it took to be loaded."""

    name: str
    namespace: Namespace
    interface: int  # in the generator's namespace
    frame: bytes
    registered: Population  # whom it lets in: all, some, or nobody
    load_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    """ns that a receiver takes for a packet, and peergate in the same round."""

    its: float
    peergate: float


@dataclass(frozen=True, slots=True)
class Generator:
    """Sends packets of what the walk holds."""

    programs: Programs
    namespace: Namespace
    family: int
    softirqs: testrun.Softirqs

    def send(self, interface: int, packet: bytes, count: int) -> float:
        """CPU time in ns for each of `count`; interface 0 is for making them alone."""
        state = self.programs.state
        state["interface"][0] = interface
        state["checksum"][0] = _unfolded(packet) if self.family == 4 else 0
        fd = self.programs.fds[f"generate{self.family}"]
        with self.namespace.entered():
            before = self.softirqs.ns()
            spent = testrun.send(fd, packet, count)
        return spent + (self.softirqs.ns() - before) / count


def measure(
    mode: Mode,
    programs: Programs,
    people: Population,
    filled: Router,
    others: Mapping[str, SetUp] = SET_UPS,
) -> Iterator[Row]:
    """Rows of `flood`. Raises WrongVerdictError."""
    with testrun.on_one_cpu() as cpu, Namespace("bench-generator") as home:
        generator = Generator(programs, home, people.family, testrun.Softirqs(cpu))
        with ExitStack() as stack:
            standing, missing = stand(mode, stack, generator, people, filled, others)
            yield from missing
            check(generator, standing, people)
            costs = _rounds(mode, generator, standing)
        for receiver in standing:
            if receiver.name != PEERGATE:
                yield _row(people, receiver, costs[receiver.name])


def stand(
    mode: Mode,
    stack: ExitStack,
    generator: Generator,
    people: Population,
    filled: Router,
    others: Mapping[str, SetUp],
) -> tuple[list[Receiver], list[Row]]:
    """All that could be set up, and a row for each that could not."""
    fds = {PEERGATE: filled.plane.program_fd}
    fds |= {name: generator.programs.fds[program] for name, program in FLOORS.items()}
    standing, missing = [], []
    for number, name in enumerate((*fds, *others)):
        with ExitStack() as mine:
            place = mine.enter_context(_place(generator.namespace, number, name, mode))
            before = time.monotonic()
            try:
                if name in fds:
                    receivers.attach(place, fds[name])
                else:
                    others[name](place, people)
            except LabError as error:
                why = " ".join(str(error).split())[:300]
                missing.append({**_names(people, name), "missing": why})
                continue
            standing.append(
                Receiver(
                    name=name,
                    namespace=place.namespace,
                    interface=generator.namespace.index(f"out{number}"),
                    frame=frame(people.family, mac=place.namespace.mac(DEVICE)),
                    registered=receivers.held(name, people),
                    load_s=time.monotonic() - before,
                )
            )
            stack.enter_context(mine.pop_all())
    return standing, missing


@contextmanager
def _place(home: Namespace, number: int, name: str, mode: Mode) -> Iterator[Place]:
    """A namespace that has the gateway's addresses, joined to the generator's."""
    with Namespace(f"bench-{name}") as namespace:
        veth(home, f"out{number}", namespace, DEVICE)
        for family, length in ((4, 32), (6, 128)):
            namespace.add_address("lo", f"{gateway_address(family)}/{length}")
        for scope in ("all", DEVICE):
            namespace.sysctl(f"ipv4/conf/{scope}/rp_filter", 0)
        _take_in_batches(namespace)
        yield Place(namespace, DEVICE, mode.load_limit)


def _take_in_batches(namespace: Namespace) -> None:
    """GRO on: without it a veth takes frames from XDP only where it has a program."""
    value = ctypes.create_string_buffer(struct.pack("=II", _SET_GRO, 1))
    request = struct.pack("=16sQ8x", DEVICE.encode(), ctypes.addressof(value))
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)


def check(generator: Generator, standing: Sequence[Receiver], people: Population) -> None:
    """Each lets in every registered packet and no other. Leaves the walk at unregistered ones."""
    for receiver in standing:
        if 0 < len(receiver.registered) < len(people):
            _walk(generator.programs, receiver.registered, "registered")
            check_delivered(generator, receiver, "registered", CHECKED)
    for traffic, expected in (("registered", CHECKED), ("unregistered", 0)):
        _walk(generator.programs, people, traffic)
        for receiver in standing:
            if traffic == "unregistered" or len(receiver.registered) == len(people):
                check_delivered(generator, receiver, traffic, expected)


def check_delivered(generator: Generator, receiver: Receiver, traffic: str, expected: int) -> None:
    """So many of the next packets come through. Raises WrongVerdictError."""
    before = _delivered(receiver.namespace, generator.family)
    generator.send(receiver.interface, receiver.frame, CHECKED)
    until = time.monotonic() + SETTLED_S
    # The kernel may leave the last of them to a thread of its own.
    while (got := _delivered(receiver.namespace, generator.family) - before) < expected:
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    if got != expected:
        raise WrongVerdictError(
            f"{receiver.name} let in {got} of {CHECKED} packets {traffic}, not {expected}"
        )


def _walk(programs: Programs, people: Population, traffic: str) -> None:
    count = WALK4 if people.family == 4 else WALK6
    programs.walk(lookup.draw(people, traffic, count).packed(), people.family)


def _delivered(namespace: Namespace, family: int) -> int:
    """Packets that came as far as the receiver's own protocols."""
    with namespace.entered():
        if family == 6:
            lines = Path("/proc/thread-self/net/snmp6").read_text().splitlines()
            return int(dict(line.split() for line in lines)["Ip6InDelivers"])
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    return int(values[names.index("InDelivers")])


def _rounds(
    mode: Mode, generator: Generator, standing: Sequence[Receiver]
) -> dict[str, list[Pair]]:
    """By receiver and round; one is measured right after peergate, and the order turns."""
    (peergate,) = (receiver for receiver in standing if receiver.name == PEERGATE)
    others = [receiver for receiver in standing if receiver is not peergate]
    costs: dict[str, list[Pair]] = {receiver.name: [] for receiver in others}
    for number in range(mode.flood_rounds):
        turn = number % max(1, len(others))
        for receiver in (*others[turn:], *others[:turn]):
            ours = cost(mode, generator, peergate.interface, peergate.frame)
            making = cost(mode, generator, 0, peergate.frame)
            its = cost(mode, generator, receiver.interface, receiver.frame)
            costs[receiver.name].append(Pair(its - making, ours - making))
    return costs


def cost(mode: Mode, generator: Generator, interface: int, packet: bytes) -> float:
    """ns of CPU time for a packet, with making it."""
    warm = generator.send(interface, packet, mode.flood_packets // 10)
    count = mode.flood_packets // (8 if warm > SLOW_NS else 1)
    return generator.send(interface, packet, count)


def _names(people: Population, against: str) -> Row:
    return {
        "bench": "flood",
        "family": people.family,
        "registered": len(people),
        "against": against,
    }


def _row(people: Population, receiver: Receiver, costs: Sequence[Pair]) -> Row:
    figures = ratio([pair.its for pair in costs], [pair.peergate for pair in costs])
    return {
        **_names(people, receiver.name),
        "holds": len(receiver.registered),
        "median_ns": round(figures.median_ns, 1),
        "peergate_ns": round(figures.base_ns, 1),
        "ratio": round(figures.ratio, 3),
        "spread": round(figures.spread, 3),
        "load_s": round(receiver.load_s, 2),
        "rounds": len(costs),
    }


def _unfolded(packet: bytes) -> int:
    """The sum of an IPv4 header's 16-bit words as the CPU loads them, source and checksum zero."""
    words: tuple[int, ...] = struct.unpack_from("=10H", packet, 14)
    return sum(words[:5]) + sum(words[8:])
