"""Taps: links of a namespace whose other end is a virtual machine's network card."""

import fcntl
import os
import struct

from lab.netns import Namespace

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_MULTI_QUEUE, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000


def open_tap(namespace: Namespace, name: str, queues: int = 1) -> list[int]:
    """Make a tap, up; a descriptor for each pair of queues. It goes when all are closed."""
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if queues > 1 else 0)
    request = struct.pack("16sH22x", name.encode(), flags)
    opened: list[int] = []
    try:
        with namespace.entered():
            for _ in range(queues):
                opened.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
                fcntl.ioctl(opened[-1], _TUNSETIFF, request)
        namespace.up(name)
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    return opened
