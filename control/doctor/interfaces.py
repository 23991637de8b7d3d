"""The interfaces that the program is for: what is attached, XDP, MTU, queues, offloads."""

import os
from collections.abc import Iterator
from pathlib import Path

from control import check, ethtool, links
from control.devices import Device
from control.doctor import drivers
from control.doctor.finding import Finding, of_check
from control.doctor.kernel import MULTI_BUFFER
from control.doctor.router import Router

GENERIC = 'set attach = "generic" (slower)'


def interfaces(router: Router) -> Iterator[Finding]:
    programs = {found.interface: found for found in links.attachments()}
    for name in (*router.settings.interfaces, *router.candidates):
        device = router.device(name)
        if device is None or router.privileged:
            yield of_check(check.interface(router.settings, name), name, router.privileged)
        if device is None:
            continue
        if not router.privileged:
            yield unprivileged_attachment(name, programs.get(device.name))
        if not device.ethernet:
            yield Finding(
                "error",
                name,
                "carries no Ethernet frames, which are all that the program reads: every packet "
                "there would be `other`, and pass",
                "put the Ethernet interface below it into `interfaces`",
            )
        yield state(device)
        driver = links.driver(name)
        yield modes(router, device, driver)
        found = programs.get(device.name)
        taken = found is not None and found.program("native") is not None
        if router.settings.attach == "native" and not taken:
            yield mtu(router, device, driver)
            yield from guest_offloads(name, driver)
        yield from queues(device, driver, router, ethtool.channels(name))
        yield from offloads(name, ethtool.features(name))


def unprivileged_attachment(name: str, found: links.Attachment | None) -> Finding:
    if found is None:
        return Finding("ok", name, "no program is attached")
    return Finding("note", name, str(found), "run as root to see whose program that is")


def state(device: Device) -> Finding:
    if not device.up:
        return Finding("warning", device.name, "the link is down", f"ip link set {device.name} up")
    if not device.carrier:
        return Finding("warning", device.name, "no carrier", "look at cable, far end, or peer")
    return Finding("ok", device.name, "up, with carrier")


def modes(router: Router, device: Device, driver: str) -> Finding:
    """What the driver offers: in the kernel's own words, or as far as is known."""
    attach = router.settings.attach
    said = None if router.xdp is None else router.xdp.get(device.index)
    if said is not None:
        offers = ["native"] if said.native else []
        offers += ["multi-buffer"] if said.multi_buffer else []
        offers += ["offload"] if said.offload else []
        text = f"driver {driver}: {', '.join([*offers, 'generic'])} (the kernel's word)"
        # A driver may have forgotten to say it: no error before the attach itself fails.
        missing = not said.native
    elif (since := drivers.NATIVE_SINCE.get(driver)) is not None:
        offload = ", offload" if driver in drivers.OFFLOAD else ""
        text = f"driver {driver}: native{offload}, generic (known drivers)"
        if missing := router.kernel < since:
            text = f"driver {driver}: generic; native from Linux {since[0]}.{since[1]} on"
    else:
        text = f"driver {driver}: generic; whether it has native XDP is not known"
        missing = True
    if missing and attach == "native":
        mend = f"try it: the agent says what the driver answers; else {GENERIC}"
        return Finding("warning", device.name, text, mend)
    return Finding("ok", device.name, text)


def mtu(router: Router, device: Device, driver: str) -> Finding:
    limit = drivers.single_buffer_mtu(driver)
    if device.mtu <= limit:
        return Finding("ok", device.name, f"MTU {device.mtu}: fits in one buffer (to {limit})")
    said = None if router.xdp is None else router.xdp.get(device.index)
    takes = drivers.takes_multi_buffer(driver, router.kernel)
    if said is not None:
        takes = said.multi_buffer and router.kernel >= MULTI_BUFFER
    if takes:
        return Finding("ok", device.name, f"MTU {device.mtu}: in several buffers, which it takes")
    why = "its driver takes one buffer a frame"
    if router.kernel < MULTI_BUFFER:
        major, minor = MULTI_BUFFER
        why = f"this kernel gives XDP one buffer a frame (several: {major}.{minor})"
    return Finding(
        "warning",
        device.name,
        f"MTU {device.mtu}, and {why}, an MTU of {limit} at most: native attach may be refused",
        f"ip link set {device.name} mtu {limit}, or {GENERIC}",
    )


def guest_offloads(name: str, driver: str) -> Iterator[Finding]:
    """virtio_net refuses native XDP where the host merges packets and it may not stop that."""
    if driver != "virtio_net":
        return
    address = ethtool.bus(name)
    paths = sorted(Path("/sys/bus/pci/devices").glob(f"{address}/virtio*/features"))
    if not address or len(paths) != 1:
        yield Finding("note", name, "which guest offloads the host left fixed is not to be seen")
    elif fixed := drivers.fixed_guest_offloads(paths[0].read_text().strip()):
        yield Finding(
            "error",
            name,
            f"the host's guest offloads are fixed ({', '.join(fixed)}): virtio_net refuses "
            "native attach",
            "QEMU: -device virtio-net-pci,ctrl_guest_offloads=on (its default), or "
            f"guest_csum=off and the like; else {GENERIC}",
        )
    else:
        yield Finding("ok", name, "guest offloads: none, or the driver may switch them off")


def queues(
    device: Device, driver: str, router: Router, channels: ethtool.Channels | None
) -> Iterator[Finding]:
    name = device.name
    if channels is None:
        text = f"{device.rx_queues} receive and {device.tx_queues} transmit queues"
        yield Finding("ok", name, text)
        return
    used = channels.combined or channels.rx
    most = channels.max_combined or channels.max_rx
    cpus = os.cpu_count() or 1
    text = f"{used} of {most} channels, {cpus} CPUs"
    if router.settings.attach == "generic":
        yield Finding("ok", name, text)
    elif driver == "virtio_net" and used + cpus > most and router.kernel < (5, 13):
        yield Finding(
            "note",
            name,
            f"{text}: virtio_net wants one more for each CPU, and before Linux 5.13 it refuses "
            "native attach without (ENOMEM), unless the distribution has mended that",
            f"QEMU: queues={used + cpus} or more, mq=on; else {GENERIC}",
        )
    elif driver == "ena" and used * 2 > most:
        yield Finding(
            "error",
            name,
            f"{text}: ena refuses native attach unless half of its channels are free",
            f"ethtool -L {name} combined {max(1, most // 2)}",
        )
    elif used < min(most, cpus):
        mend = f"ethtool -L {name} {'combined' if channels.combined else 'rx'} {min(most, cpus)}"
        yield Finding("note", name, f"{text}: one CPU judges the packets of a channel", mend)
    else:
        yield Finding("ok", name, text)


def offloads(name: str, found: dict[str, ethtool.Feature]) -> Iterator[Finding]:
    for feature, option, what in (
        ("rx-lro", "lro", "LRO"),
        ("rx-gro-hw", "rx-gro-hw", "hardware GRO"),
    ):
        state = found.get(feature)
        if state is None or not state.on:
            continue
        if state.changeable:
            yield Finding(
                "note",
                name,
                f"{what} is on: most drivers switch it off under native XDP, some refuse",
                f"ethtool -K {name} {option} off",
            )
        else:
            yield Finding("note", name, f"{what} is on, and fixed")
    stripping = found.get("rx-vlan-hw-parse")
    if stripping is not None and stripping.on:
        yield Finding(
            "ok", name, "VLAN tags are taken off by the NIC: peergate judges with and without"
        )
