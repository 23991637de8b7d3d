"""Names of addresses (PTR), asked of the resolver that the operator names and of nobody else."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from time import monotonic

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.reversename

from policy.prefixes import Address

# Seconds for one answer: whoever looks at a stranger waits for it.
_PATIENCE = 1.0
# How many are asked for at once; who comes then gets no names.
_AT_ONCE = 4
# Answers that are remembered, for so many seconds; silence for fewer.
_REMEMBERED = 10_000
_GOOD_FOR = 3600.0
_SILENCE_FOR = 60.0
_NAMES = 5


@dataclass(frozen=True, slots=True)
class Resolver:
    address: Address
    port: int


class ReverseNames:
    """Nothing is ever asked without a resolver."""

    def __init__(self, resolver: Resolver | None, clock: Callable[[], float] = monotonic) -> None:
        self._resolver = resolver
        self._clock = clock
        self._places = BoundedSemaphore(_AT_ONCE)
        self._lock = Lock()
        self._known: OrderedDict[Address, tuple[float, tuple[str, ...] | None]] = OrderedDict()

    def of(self, address: Address) -> tuple[str, ...] | None:
        """As the resolver says, in ASCII; none is (), and None is that nobody said anything.

        Whoever holds the address writes these names: they prove nothing.
        """
        if self._resolver is None:
            return None
        with self._lock:
            until, names = self._known.get(address, (0.0, None))
        if until > self._clock():
            return names
        if not self._places.acquire(blocking=False):
            return None
        try:
            found = _ask(self._resolver, address)
        finally:
            self._places.release()
        self._remember(address, found)
        return found

    def _remember(self, address: Address, found: tuple[str, ...] | None) -> None:
        until = self._clock() + (_SILENCE_FOR if found is None else _GOOD_FOR)
        with self._lock:
            self._known[address] = (until, found)
            self._known.move_to_end(address)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _ask(resolver: Resolver, address: Address) -> tuple[str, ...] | None:
    asked = dns.message.make_query(dns.reversename.from_address(str(address)), "PTR")
    where = str(resolver.address)
    try:
        answer, _ = dns.query.udp_with_fallback(asked, where, _PATIENCE, resolver.port)
        pointers = [
            each
            for section in answer.answer
            if section.rdtype == dns.rdatatype.PTR
            for each in section
        ]
    except (dns.exception.DNSException, OSError, ValueError):
        return None
    # Outside of printable ASCII it is written in numbers.
    return tuple(str(each.target).removesuffix(".") for each in pointers[:_NAMES])
