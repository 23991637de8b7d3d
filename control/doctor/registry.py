"""The registry: reached, trusted, and content with the token; and whose it is."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from control import check, state
from control.doctor.clock import offset
from control.doctor.finding import Finding, of_check
from control.doctor.router import Router
from control.errors import RegistryError
from control.registry import RegistryClient, Standing
from control.state import Known

TOKEN = "peergate token add ROUTER --role agent > TOKEN_FILE, on the registry's side"


def source(router: Router) -> Iterator[Finding]:
    """Where allowlists come from: the registry, or a policy file in its place."""
    settings = router.settings
    if router.policy is not None:
        yield from (
            of_check(found, "policy", router.privileged)
            for found in check.policy_file(settings, router.policy)
        )
        return
    found = [of_check(each, "registry", router.privileged) for each in check.registry(settings)]
    yield from found
    if settings.registry_url is None or any(each.level in ("error", "note") for each in found):
        return
    try:
        before = time.time()
        standing = asyncio.run(_ask(router))
    except RegistryError as error:
        yield refusal(error.message)
        return
    now = datetime.fromtimestamp((before + time.time()) / 2, UTC)
    yield from said(standing, state.known_registry(settings.state_dir), now)


async def _ask(router: Router) -> Standing:
    async with RegistryClient.of(router.settings) as client:
        return await client.standing()


def refusal(message: str) -> Finding:
    text = message.removeprefix("registry ")
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return Finding("error", "registry", text, "set ca_file to the authority that signed it")
    if ": 401" in message:
        return Finding("error", "registry", text, TOKEN)
    if "not reached" in message or "no answer" in message:
        mend = "look at registry_url, the route there, and the registry itself: its /healthz"
        return Finding("error", "registry", text, mend)
    return Finding("error", "registry", text, "look at registry_url: is it a registry's?")


def said(standing: Standing, known: Known | None, now: datetime) -> Iterator[Finding]:
    yield Finding("ok", "registry", f"{standing.registry} at revision {standing.revision}")
    if standing.role == "agent":
        yield Finding("ok", "token", "is taken, and has the role agent")
    elif standing.role == "admin":
        yield Finding("warning", "token", "has the role admin: far more than a router needs", TOKEN)
    else:
        yield Finding("error", "token", "may read, but not report: its role is not agent", TOKEN)
    if known is not None and known.registry != standing.registry:
        yield Finding(
            "error",
            "registry",
            f"is not {known.registry}, which this router follows: the agent refuses it",
            f"peergate agent --accept-registry {standing.registry}, if it is to be followed",
        )
    elif known is not None and known.revision > standing.revision:
        yield Finding(
            "note",
            "registry",
            f"is behind revision {known.revision}, which this router has: it was restored",
            "nothing has to be done: it goes on above what the agent reports",
        )
    if standing.time is not None:
        yield offset((standing.time - now).total_seconds())
