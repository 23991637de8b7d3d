"""python -m bench.registry.fetch URL TOKEN_FILE [DIRECTORY]: what a snapshot costs an agent.

Prints the seconds until it is parsed and the memory in MiB; keeps it in the directory.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path

from control.model import Allowlist
from control.registry import RegistryClient
from control.snapshot import save_snapshot


async def _fetched(url: str, token_file: Path) -> Allowlist:
    async with RegistryClient(url, token_file) as client:
        return await client.snapshot(0)


def _mib(name: str) -> float:
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) / 1024


def main(url: str, token_file: str, *directory: str) -> None:
    sys.setswitchinterval(0.001)  # as the agent does
    began = time.monotonic()
    allowlist = asyncio.run(_fetched(url, Path(token_file)))
    seconds = time.monotonic() - began
    if directory:
        save_snapshot(Path(directory[0]), allowlist)
    said = {"seconds": seconds, "mib": _mib("VmRSS"), "peak_mib": _mib("VmHWM")}
    print(json.dumps({**said, "peers": len(allowlist.peers), "revision": allowlist.revision}))


if __name__ == "__main__":
    main(*sys.argv[1:])
