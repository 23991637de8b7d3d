"""Tunnel packets of a registered peer and of a stranger, and the gateway that echoes them.

Runs on the machine's own Python, as `probe.py echo` and `probe.py probe FILE`: the latter sends
until SIGTERM, and then writes how many packets of each source were sent and came back.
"""

import json
import os
import select
import signal
import socket
import sys
import time

GATEWAY = ("198.51.100.1", 51820)
SOURCES = {"registered": "203.0.113.7", "stranger": "192.0.2.77"}
IP_FREEBIND = 15  # linux/in.h
PACE = 0.05
# After the last packet, so long without an answer means that no more will come.
QUIET = 3.0


def echo() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
        gateway.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)  # the address may come later
        gateway.bind(GATEWAY)
        while True:
            packet, sender = gateway.recvfrom(100)
            gateway.sendto(packet, sender)


def probe(file: str) -> None:
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    sockets = {name: _socket(source) for name, source in SOURCES.items()}
    sent, back = dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 0)
    while not stopped:
        for name, each in sockets.items():
            each.send(b"tunnel")
            sent[name] += 1
        _take(sockets, back, PACE)
        _write(file, sent, back)
    while _take(sockets, back, QUIET):
        pass
    _write(file, sent, back)


def _socket(source: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source, 0))
    made.connect(GATEWAY)
    return made


def _take(sockets: dict[str, socket.socket], back: dict[str, int], seconds: float) -> bool:
    """Count what comes back for so long; whether anything did."""
    until, any_came = time.monotonic() + seconds, False
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(sockets.values()), [], [], left)
        for name, each in sockets.items():
            if each in ready:
                each.recv(100)
                back[name] += 1
                any_came = True
    return any_came


def _write(file: str, sent: dict[str, int], back: dict[str, int]) -> None:
    with open(file + ".new", "w") as out:
        json.dump({"sent": sent, "back": back}, out)
    os.replace(file + ".new", file)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo()
    else:
        probe(sys.argv[2])
