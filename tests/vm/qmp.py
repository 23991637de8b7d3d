"""QEMU's monitor (QMP): what a hand at the machine's back would do."""

import json
import socket
from typing import Any

from tests.vm.machine import MachineError
from tests.vm.router_agent import SECONDS


class Monitor:
    """Speaks over a socket that QEMU has the other end of; `words` are for its command line."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        fd = self.theirs.fileno()
        self.words = ("-chardev", f"socket,id=qmp,fd={fd}", "-mon", "chardev=qmp,mode=control")
        self._lines = self._ours.makefile("r")

    def begin(self) -> None:
        """Once QEMU runs."""
        self.theirs.close()
        self._ours.settimeout(SECONDS)
        self._line()  # its greeting
        self._do("qmp_capabilities")

    def set_carrier(self, device: str, on: bool) -> None:
        """Plug or unplug the cable of a network card."""
        self._do("set_link", name=device, up=on)

    def remove(self, device: str) -> None:
        """Ask the guest to let go of a card, and wait until it did."""
        self._do("device_del", id=device)
        while True:
            event = self._line()
            if event.get("event") == "DEVICE_DELETED" and event["data"].get("device") == device:
                return

    def add(self, **card: str | bool | int) -> None:
        self._do("device_add", **card)

    def _do(self, command: str, **arguments: str | bool | int) -> None:
        order = {"execute": command, "arguments": arguments}
        self._ours.sendall(json.dumps(order).encode() + b"\n")
        while "return" not in (answer := self._line()):
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")

    def _line(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise MachineError("QEMU's monitor says nothing") from None
        if not line:
            raise MachineError("QEMU is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._lines.close()
        self._ours.close()
        self.theirs.close()
