"""Ways into the router past the program: uplinks without it, source routing."""

from collections.abc import Iterator

from control import links
from control.doctor import sysctl
from control.doctor.finding import Finding
from control.doctor.router import Router
from control.pins import Programs
from control.routes import routes, routes_by_link

# So many routes over one link are the internet's, where there is no default route.
FULL_TABLE = 1000


def uplinks(router: Router) -> Iterator[Finding]:
    """Links to the internet that no configured interface stands before."""
    carries = dict.fromkeys(routes().defaults, "a default route")
    if not carries:
        counts = routes_by_link().items()
        carries = {link: f"{count:,} routes" for link, count in counts if count >= FULL_TABLE}
    found = sorted(carries.items())
    devices = [(device, what) for index, what in found if (device := router.at(index)) is not None]
    for device, what in devices:
        if router.is_guarded(device):
            yield Finding("ok", device.name, f"carries {what}, and is covered by `interfaces`")
        elif not device.ethernet:
            yield Finding(
                "note",
                device.name,
                f"carries {what}, and no Ethernet frames: the program cannot sit there",
                "have the Ethernet interface below it in `interfaces`: PPPoE is looked into, "
                "other tunnels are not",
            )
        elif not router.configured:
            yield Finding(
                "note",
                device.name,
                f"carries {what}",
                f'put it into the settings: interfaces = ["{device.name}"]',
            )
        else:
            wanted = ", ".join(f'"{name}"' for name in (*router.settings.interfaces, device.name))
            yield Finding(
                "warning",
                device.name,
                f"carries {what}, and is not in `interfaces`: an open door",
                f"interfaces = [{wanted}], or see to it that nothing for a gateway comes in there",
            )
    if not devices:
        yield Finding(
            "note",
            "default route",
            "there is none, nor a full table: which links are uplinks is not to be seen",
            "have every link that packets for the gateways come in by in `interfaces`",
        )


def others(router: Router) -> Iterator[Finding]:
    """Programs on interfaces that are not configured: somebody else's, or ours of before."""
    programs = Programs(router.settings.bpffs)
    for found in links.attachments():
        name = found.interface
        device = router.at(found.index)
        asked_for = (*router.settings.interfaces, *router.candidates)
        if device is not None and not device.names.isdisjoint(asked_for):
            continue
        if not router.privileged:
            yield Finding("note", name, str(found), "run as root to see whose program that is")
        elif links.foreign(found, programs) is None:
            yield Finding(
                "warning",
                name,
                f"{found} of ours, and the interface is not in `interfaces`",
                "put it there, or take the program off: peergate detach, then start the agent",
            )
        else:
            named = (
                f"id {program}, name {programs.name(program) or '(none)'}, {attach}"
                for attach, program in found.programs
            )
            yield Finding("note", name, f"somebody else's XDP program: {', '.join(named)}")


# A setting holds where the one of the interface and that of `all` both say so.
_SOURCE_ROUTING = (
    ("net/ipv4/conf", "accept_source_route", "IPv4 packets with a source route"),
    ("net/ipv6/conf", "seg6_enabled", "IPv6 packets with a segment routing header"),
    ("net/ipv6/conf", "rpl_seg_enabled", "IPv6 packets with an RPL source route"),
)


def source_routing() -> Iterator[Finding]:
    """A source-routed packet addresses the router on the wire, and a gateway inside."""
    found = False
    for directory, setting, what in _SOURCE_ROUTING:
        values = dict(sysctl.of_interfaces(directory, setting))
        if accepting := accepts(values):
            found = True
            key = f"{directory}/all/{setting}".replace("/", ".")
            yield Finding(
                "warning",
                setting,
                f"{what} are accepted on {', '.join(accepting)}: on the wire they address this "
                "router, so that peergate lets them by, whichever gateway they go on to",
                f"sysctl -w {key}=0",
            )
    if not found:
        yield Finding("ok", "source routing", "is not accepted")
    if count := routes().seg6_local:
        yield Finding(
            "warning",
            "seg6local",
            f"{count} routes end segments on this router: what is inside is not seen by peergate",
            "leave only those that lead to no gateway: ip -6 route show | grep seg6local",
        )


def accepts(values: dict[str, int]) -> tuple[str, ...]:
    """Interfaces on which both their own setting and that of `all` are above 0."""
    if values.get("all", 0) <= 0:
        return ()
    names = (name for name, value in values.items() if value > 0)
    return tuple(name for name in names if name not in ("all", "default", "lo"))
