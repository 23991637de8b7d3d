"""What is known of drivers and native XDP, where the kernel does not say it itself.

Read off the drivers' sources. The limits are those of one buffer on pages of 4 KiB, in bytes of
MTU; a driver refuses more when the program is attached, whatever is said here.
"""

from control.doctor.kernel import LOWEST, MULTI_BUFFER, Version

# By what ethtool calls them; those of Linux 6.4 and later say it themselves.
NATIVE_SINCE: dict[str, Version] = {
    **dict.fromkeys(
        (
            "bnxt_en",
            "cpsw",
            "ena",
            "fsl_dpaa2_eth",
            "hv_netvsc",
            "i40e",
            "ice",
            "igb",
            "ixgbe",
            "ixgbevf",
            "mlx4_en",
            "mlx5_core",
            "mvneta",
            "mvpp2",
            "nfp",
            "nicvf",
            "qede",
            "sfc",
            "tun",
            "veth",
            "virtio_net",
        ),
        LOWEST,
    ),
    "atlantic": (5, 19),
    "bonding": (5, 15),
    "fsl_enetc": (5, 13),
    "igc": (5, 13),
    "mana": (5, 17),
    "st_gmac": (5, 13),
}

OFFLOAD = frozenset({"netdevsim", "nfp"})

SINGLE_BUFFER_MTU = {
    "ena": 3498,
    "i40e": 3046,
    "ice": 3046,
    "igb": 3046,
    "igc": 1500,
    "ixgbe": 3050,
    "ixgbevf": 3050,
    "mlx4_en": 3498,
    "mlx5_core": 3498,
    "nicvf": 1508,
    "st_gmac": 1500,
    "veth": 3506,
    "virtio_net": 3494,  # before Linux 6.3 it takes the program up to 4064, and loses frames
}

# A page, less the room before the frame and behind it: hardly a driver takes more in one buffer.
PAGE_MTU = 3506

# Since which kernel a driver takes frames of several buffers, where that is before Linux 6.3.
# Not mlx5_core: before 6.4 it does without striding receive queues alone, which are the default.
_MULTI_BUFFER_SINCE: dict[str, Version] = {
    "atlantic": (5, 19),
    "bnxt_en": (5, 19),
    "mvneta": (5, 18),
    "veth": (5, 18),
}


def takes_multi_buffer(driver: str, kernel: Version) -> bool:
    since = _MULTI_BUFFER_SINCE.get(driver)
    return since is not None and kernel >= max(since, MULTI_BUFFER)


def single_buffer_mtu(driver: str) -> int:
    return SINGLE_BUFFER_MTU.get(driver, PAGE_MTU)


# Bits of virtio_net's features: offloads for the guest, and that the guest may switch them.
_CONTROL = 2
_GUEST_OFFLOADS = {1: "checksum", 7: "TSO4", 8: "TSO6", 9: "ECN", 10: "UFO", 54: "USO4", 55: "USO6"}


def fixed_guest_offloads(features: str) -> tuple[str, ...]:
    """Of sysfs's text of a virtio device's features: the guest offloads that stay on.

    virtio_net takes native XDP only where it may switch them off.
    """
    if features[_CONTROL : _CONTROL + 1] == "1":
        return ()
    return tuple(name for bit, name in _GUEST_OFFLOADS.items() if features[bit : bit + 1] == "1")
