"""Requests that the registry itself makes to where an operator has said."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Network, ip_address

import httpcore

from policy.prefixes import Address

# For all of it: names, connection, TLS, request and answer.
_SECONDS = 10.0
_AT_ONCE = 50
_READ = 16 * 1024
_LOST = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
# Under these, IPv6 leads to an IPv4 address: the last 32 bits.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))

# IPv4 addresses in IPv6 as nobody writes them any more, and segment identifiers.
_UNUSED = (IPv6Network("::/96"), IPv6Network("5f00::/16"))


class DeliveryError(Exception):
    """It was not taken; the message says why, for the operator."""


class Sender:
    """POSTs. It follows no redirect, asks no proxy and wants nothing but an answer's status.

    Unless `private`, it connects to public addresses alone: to the very one that was looked at.
    """

    def __init__(self, *, private: bool) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=_AT_ONCE,
            keepalive_expiry=30.0,
            network_backend=_Guarded(private=private),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Returns where it was answered with 2xx. Raises DeliveryError."""
        try:
            async with asyncio.timeout(_SECONDS):
                asked = self._pool.stream("POST", url, headers=[*headers.items()], content=body)
                async with asked as response:
                    status = response.status
                    await _read_little(response)
        except TimeoutError:
            raise DeliveryError(f"no answer within {_SECONDS:g} s") from None
        except (*_LOST, OSError, ValueError) as error:
            raise DeliveryError(" ".join(str(error).split()) or type(error).__name__) from error
        if 300 <= status < 400:
            raise DeliveryError(f"answered {status}: redirects are not followed")
        if not 200 <= status < 300:
            raise DeliveryError(f"answered {status}")

    async def close(self) -> None:
        await self._pool.aclose()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Read once: the system's certificates take longer than all of an application."""
    return ssl.create_default_context()


async def _read_little(response: httpcore.Response) -> None:
    """What most answer is read, so that the connection can be used again; else it is closed."""
    taken = 0
    async for part in response.aiter_stream():
        taken += len(part)
        if taken > _READ:
            return


class _Guarded(httpcore.AsyncNetworkBackend):
    """Looks up names by itself, so that what is judged is what is connected to."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _addresses(host, port)
        if not self._private:
            for address in addresses:
                check_public(host, address)
        last: Exception = DeliveryError(f"{host}: has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                last = error
        raise last


async def _addresses(host: str, port: int) -> tuple[Address, ...]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"{host}: cannot be looked up: {error}") from error
    # Of a link-local one the zone is left out: where it leads is not for a name to say.
    texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
    return tuple(map(ip_address, texts))


def check_public(host: str, address: Address) -> None:
    """Raises DeliveryError where `host` leads into somebody's own network."""
    leads_to = _embedded(address) or address
    if not leads_to.is_global or leads_to.is_multicast or _is_nobodys(leads_to):
        raise DeliveryError(
            f"{host}: {address} is not a public address: webhooks go there only where "
            "PEERGATE_PRIVATE_WEBHOOKS=yes"
        )


def _embedded(address: Address) -> IPv4Address | None:
    """Where an IPv6 address only writes an IPv4 one."""
    if isinstance(address, IPv4Address):
        return None
    if any(address in each for each in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


def _is_nobodys(address: Address) -> bool:
    """6to4 and Teredo may end anywhere, and nobody has a service there. The others were taken out
    of use, or are for segment routing, which Python does not know in each of its versions."""
    if isinstance(address, IPv4Address):
        return False
    tunnelled = address.sixtofour is not None or address.teredo is not None
    return tunnelled or address.is_site_local or any(address in each for each in _UNUSED)
