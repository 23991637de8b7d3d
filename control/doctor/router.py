"""What is examined: the settings as far as there are any, and the devices of this namespace."""

from dataclasses import dataclass
from pathlib import Path

from control.devices import Device, XdpFeatures
from control.doctor.kernel import Version
from control.settings import Settings


@dataclass(frozen=True, slots=True)
class Router:
    """`configured`: whether the settings are somebody's, or only what stands in for them.

    `candidates` are interfaces to look at beside those in the settings. `xdp` is by the index
    of the device, and None where the kernel does not say it. `memlock` is this process's hard
    limit as it was, in bytes: loading the program raises it.
    """

    settings: Settings
    configured: bool
    candidates: tuple[str, ...]
    policy: Path | None
    privileged: bool
    memlock: int
    kernel: Version
    devices: tuple[Device, ...]
    xdp: dict[int, XdpFeatures] | None

    def device(self, name: str) -> Device | None:
        return next((each for each in self.devices if name in each.names), None)

    def at(self, index: int | None) -> Device | None:
        return next((each for each in self.devices if each.index == index), None)

    def is_configured(self, device: Device) -> bool:
        return not device.names.isdisjoint(self.settings.interfaces)

    def below(self, device: Device) -> tuple[Device, ...]:
        """The device, and what it sits on: a VLAN's link, and further down."""
        chain = [device]
        while (lower := self.at(chain[-1].lower)) is not None and lower not in chain:
            chain.append(lower)
        return tuple(chain)

    def is_guarded(self, device: Device) -> bool:
        """Whether what comes in through the device has passed a configured interface."""
        chain = self.below(device)
        if any(map(self.is_configured, chain)):
            return True
        members = [each for each in self.devices if each.master == chain[-1].index]
        bundles = ("bond", "team", "bridge")
        return chain[-1].kind in bundles and bool(members) and all(map(self.is_guarded, members))
