"""In the router's machine: does what a test says, order by order, over a virtio port.

An order is a line of JSON, {"do": name, ...}; so is its answer.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control import pins, syscalls
from control.headers import LAYOUT

PORT = "control"

_agents: dict[int, subprocess.Popen[bytes]] = {}


def run(command: str, seconds: float) -> dict[str, Any]:
    """A shell command to its end, both outputs in one."""
    try:
        done = subprocess.run(
            command, shell=True, text=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"status": -1, "output": f"not done after {seconds:g} s"}
    return {"status": done.returncode, "output": done.stdout}


def start(command: str, log: str) -> dict[str, Any]:
    """A shell command in the background, its outputs in a file."""
    with Path(log).open("wb") as out:
        process = subprocess.Popen(
            f"exec {command}", shell=True, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    _agents[process.pid] = process
    return {"pid": process.pid}


def status(pid: int) -> dict[str, Any]:
    """Its exit status; None while it runs."""
    return {"status": _agents[pid].poll()}


def end(pid: int, signal: int, seconds: float) -> dict[str, Any]:
    _agents[pid].send_signal(signal)
    return {"status": _agents[pid].wait(seconds)}


def name_links(names: dict[str, str]) -> dict[str, Any]:
    """As udev does: links get the names that belong to their MAC addresses."""
    for link in Path("/sys/class/net").iterdir():
        name = names.get((link / "address").read_text().strip())
        if name not in (None, link.name):
            subprocess.run(["ip", "link", "set", link.name, "name", str(name)], check=True)
    return {}


def counters(bpffs: str) -> dict[str, Any]:
    """By gateway's number and counter's name: packets, bytes; straight from the pinned map."""
    layout = LAYOUT.read_text()
    names = re.findall(r"struct pg_counter (\w+);", layout)
    (size,) = map(int, re.findall(r"sizeof\(struct pg_counters\) == (\d+)", layout))
    (directory,) = pins.sets(Path(bpffs))
    cpus = int(Path("/sys/devices/system/cpu/possible").read_text().rpartition("-")[2]) + 1
    fd = syscalls.open_pinned(directory / "counters")
    try:
        found: dict[str, Any] = {}
        for number in (0, 1):
            raw = syscalls.lookup(fd, number.to_bytes(4, "little"), size * cpus)
            words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
            # The counters stand first in each CPU's.
            found[str(number)] = {
                name: [sum(words[2 * at + unit :: size // 8]) for unit in (0, 1)]
                for at, name in enumerate(names)
            }
    finally:
        os.close(fd)
    return found


ORDERS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each for each in (run, start, status, end, name_links, counters)
}


def main() -> None:
    (named,) = (
        path.parent.name
        for path in Path("/sys/class/virtio-ports").glob("*/name")
        if path.read_text().strip() == PORT
    )
    with Path("/dev", named).open("r+b", buffering=0) as port:
        port.write(b'{"ready": true}\n')
        while line := port.readline():
            order = json.loads(line)
            try:
                answer = ORDERS[order.pop("do")](**order)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                answer = {"error": repr(error)}
            port.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
