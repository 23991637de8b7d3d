"""Takes peergate off a router: every packet passes from then on."""

from control import links, pins, state
from control.errors import LinkError
from control.lock import only_agent, only_agent_on
from control.settings import Settings


def detach(settings: Settings) -> list[str]:
    """Take our program off every interface and remove its maps; says what it did.

    Idempotent. Raises SettingsError while an agent runs: it would attach the program again.
    """
    state.prepare(settings.state_dir)
    with only_agent(settings.state_dir), only_agent_on(settings.bpffs):
        return _detach(settings)


def _detach(settings: Settings) -> list[str]:
    programs = pins.Programs(settings.bpffs)
    attached = {found.interface: found for found in links.attachments()}
    done = []
    # Also where it was attached under earlier settings: without pins it would be nobody's.
    for name in dict.fromkeys([*settings.interfaces, *attached]):
        try:
            detached = links.ensure_detached(name, programs)
        except LinkError as error:
            if name in attached:
                raise
            done.append(error.message)
            continue
        if detached is not None:
            done.append(f"{name}: detached {detached}")
        elif name in settings.interfaces:
            there = f"; {attached[name]} is not ours and stays" if name in attached else ""
            done.append(f"{name}: no program of ours{there}")
    for directory in pins.sets(settings.bpffs):
        pins.remove_set(directory)
        done.append(f"{directory}: maps removed")
    state.forget_filled(settings.state_dir)
    return done
