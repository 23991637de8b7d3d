"""Echo requests, and what came back."""

import re
from dataclasses import dataclass

from lab.netns import LabError, Namespace


@dataclass(frozen=True, slots=True)
class Ping:
    """Echo requests sent, replies received."""

    sent: int
    received: int

    @property
    def all_back(self) -> bool:
        return self.sent == self.received > 0

    def __str__(self) -> str:
        return f"{self.received} of {self.sent}"


def ping(namespace: Namespace, address: str, count: int = 3, wait: float = 1.0) -> Ping:
    """Send `count` echo requests, 0.2 s apart; wait at most `wait` s for the last reply."""
    argv = ["ping", "-n", "-q", f"-c{count}", "-i0.2", f"-W{wait:g}", address]
    done = namespace.run(argv)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
    if found is None:
        # No route, or no such link (any more): nothing could be sent.
        if done.returncode == 2:
            return Ping(count, 0)
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return Ping(int(found[1]), int(found[2]))
