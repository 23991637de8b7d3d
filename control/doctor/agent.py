"""The agent and what it keeps on disk: running, at which revision, holding what back."""

from collections.abc import Iterator

from control import check, pins, state
from control.doctor.finding import Finding, of_check
from control.doctor.router import Router
from control.lock import holder


def agent(router: Router) -> Iterator[Finding]:
    directory = router.settings.state_dir
    yield from (
        of_check(found, "state", router.privileged) for found in check.state(router.settings)
    )
    running = holder(directory) is not None
    done = state.applied(directory)
    there = pins.current(router.settings.bpffs) if router.privileged else None
    filled = there is not None and state.is_filled(directory, there[0])
    if not running:
        yield Finding(
            "note",
            "agent",
            "does not run" + ("; what it put into the kernel is in force" if filled else ""),
            "systemctl start peergate-agent, or peergate agent",
        )
    if done is not None and filled:
        yield Finding("ok", "agent", f"revision {done.revision} of {done.registry} is in force")
    if done is not None and done.held is not None:
        yield Finding(
            "warning",
            "agent",
            done.held,
            "peergate agent --accept-removal REVISION, if it is right",
        )
