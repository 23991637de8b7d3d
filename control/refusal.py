"""What to say where the kernel or a driver does not take the program, and what mends it."""

import errno
import os
import resource
from dataclasses import dataclass, replace
from typing import Literal

from control.errors import LinkError

Attach = Literal["native", "generic"]

# Of the page that one buffer is, the kernel takes: room before the frame (XDP_PACKET_HEADROOM),
# struct skb_shared_info after it; and the Ethernet header is no part of the MTU.
_HEADROOM, _TAIL, _ETHERNET = 256, 320, 14

_USUAL_MTU = 1500

# Drivers that lose frames which do not fit, without refusing the program in every version; and
# what they keep of the buffer for themselves (struct virtio_net_hdr_mrg_rxbuf).
MUST_FIT = {"virtio_net": 12}

_GENERIC = 'set attach = "generic" (slower)'


def single_buffer_mtu(driver: str = "") -> int:
    """The largest MTU at which a frame is surely one buffer: 3,506 with pages of 4 KiB; of
    virtio_net 3,494."""
    kept = MUST_FIT.get(driver, 0)
    return resource.getpagesize() - _HEADROOM - _TAIL - _ETHERNET - kept


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attachment that was tried. `frags`: program and driver take frames of several buffers."""

    interface: str
    driver: str
    attach: Attach
    mtu: int
    frags: bool
    number: int = 0
    said: str = ""

    def because(self, number: int, said: str) -> "Refusal":
        """With the kernel's errno and its own words, if it found any."""
        return replace(self, number=number, said="" if said == os.strerror(number) else said)

    @property
    def _limit(self) -> int:
        return single_buffer_mtu(self.driver)

    @property
    def why(self) -> str:
        if not self.number:
            return ""
        name = errno.errorcode.get(self.number, str(self.number))
        said = f"; the kernel says: {self.said}" if self.said else ""
        return f"{name}, {os.strerror(self.number)}{said}"

    def foreseen(self) -> LinkError | None:
        """What would lose frames, though the driver might take the program."""
        too_large = self.mtu > self._limit and not self.frags
        if self.attach != "native" or self.driver not in MUST_FIT or not too_large:
            return None
        return LinkError(
            f"{self.interface}: not attached: driver {self.driver} takes frames of one buffer "
            f"alone here, up to MTU {self._limit}, and the MTU is {self.mtu}: "
            f"{self._mtu_mends()}"
        )

    def error(self) -> LinkError:
        if self.number in (errno.EPERM, errno.EACCES):
            return LinkError(
                f"{self.interface}: attach refused ({self.why}): run as root, or with CAP_NET_ADMIN"
            )
        if self.attach == "generic":
            return LinkError(f"{self.interface}: generic attach refused ({self.why})")
        at = f" at MTU {self.mtu}" if self.mtu > _USUAL_MTU else ""
        return LinkError(
            f"{self.interface}: driver {self.driver} refuses native attach{at} ({self.why}): "
            f"{self._mends()}"
        )

    def _mends(self) -> str:
        said = self.said.lower()
        if "mtu" in said or self.number == errno.ERANGE:
            return self._mtu_mends()
        if "gro_hw" in said or "offload" in said or "csum" in said or "lro" in said:
            return (
                f"switch that off with `ethtool -K {self.interface}` (gro, lro, rx), for a virtual "
                "machine's virtio NIC on its host (ctrl_guest_offloads=on, or guest_tso4, "
                f"guest_tso6 and guest_csum off); or {_GENERIC}"
            )
        if "queue" in said or "ring" in said or "channel" in said:
            return (
                f"use fewer queues, as in `ethtool -L {self.interface} combined N`, give a virtual "
                "machine's NIC more than it has CPUs and queues in use, or use a later kernel; or "
                f"{_GENERIC}"
            )
        if self.number == errno.EOPNOTSUPP:
            return f"{_GENERIC}, or use a NIC whose driver has native XDP"
        if self.mtu > self._limit:
            return f"perhaps for the MTU; {self._mtu_mends()}"
        return f"see `dmesg` for the reason; or {_GENERIC}"

    def _mtu_mends(self) -> str:
        kernel = (
            "use a NIC whose driver takes jumbo frames in native XDP (virtio_net from Linux 6.3 on)"
            if self.frags
            else "use Linux 5.18 or later (virtio_net: 6.3)"
        )
        return (
            f"lower the MTU to {self._limit} or less (of a veth: its peer's), {kernel}, "
            f"or {_GENERIC}"
        )
