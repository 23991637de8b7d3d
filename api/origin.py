"""Where a request comes from, also through proxies that the operator trusts, and its id."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.records import Origin
from policy.prefixes import Address, Network

REQUEST_ID = "X-Request-Id"
_FORWARDED = "X-Forwarded-For"
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
# As proxies write it: an address, which some put into brackets or follow with a port.
_HOP = re.compile(r"\[(?P<bracketed>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")
# Of a connection that was gone before it could be asked. Nobody has it.
_NOBODY = IPv6Address(0)


class Origins:
    """Puts each request's origin where `origin_of` finds it, and its id into the answer. No answer
    is kept on its way, unless it says so itself: caches know that of tokens, not of cookies. None
    is taken for something else than it says, as a page made of somebody's peer's name."""

    def __init__(self, app: ASGIApp, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        origin = find_origin(client[0] if client else None, Headers(scope=scope), self._trusted)
        scope.setdefault("state", {})["origin"] = origin

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = origin.request
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_id)


def origin_of(request: Request) -> Origin:
    origin: Origin = request.state.origin
    return origin


OriginOf = Annotated[Origin, Depends(origin_of)]


def find_origin(peer: str | None, headers: Headers, trusted: tuple[Network, ...]) -> Origin:
    """Of a request that `peer` sent. What it says of others counts where it is trusted alone."""
    address = _read((peer or "").partition("%")[0]) or _NOBODY
    request = str(uuid4())
    if not _is_among(address, trusted):
        return Origin(address, request, proxy=False)
    given = headers.getlist(REQUEST_ID)
    if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]):
        request = given[0]
    hops = ",".join(headers.getlist(_FORWARDED)).split(",")
    address = _behind(address, reversed(hops), trusted)
    return Origin(address, request, proxy=_is_among(address, trusted))


def _behind(address: Address, hops: Iterable[str], trusted: tuple[Network, ...]) -> Address:
    """Each hop was written by the one after it: the first that is not trusted may have made up
    all before itself. One that cannot be read leaves us with whoever wrote it."""
    for hop in hops:
        found = _read(hop.strip())
        if found is None:
            break
        address = found
        if not _is_among(address, trusted):
            break
    return address


def _read(hop: str) -> Address | None:
    match = _HOP.fullmatch(hop)
    text = hop if match is None else match["bracketed"] or match["v4"]
    try:
        return None if "%" in text else _plain(ip_address(text))
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """A socket for both versions shows IPv4 as ::ffff:192.0.2.1."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_among(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
