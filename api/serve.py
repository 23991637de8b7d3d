"""Runs the service until it is told to stop."""

import gc
import logging
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import uvicorn

from api.app import create_app
from api.database import check, open_store
from api.errors import SettingsError
from api.protocol import HEADER_BYTES, Protocol
from api.settings import Settings

_log = logging.getLogger("peergate.api")
# What still runs after this many seconds is cut off.
_GRACE = 10
# One who takes nothing for so long is cut off, whatever is on its way to him.
_STALLED_MS = 30_000

# "alive" comes ten times a second from the event loop, between its other work.
Tell = Callable[[Literal["ready", "alive", "stopping"]], None]


class _Server(uvicorn.Server):
    """Says how it is, and lets go of waiting requests before it waits for all requests to end."""

    def __init__(self, config: uvicorn.Config, let_go: Callable[[], None], tell: Tell) -> None:
        super().__init__(config)
        self._let_go = let_go
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What is there from the start stays: to look through it for garbage takes as long as
            # a hundred requests.
            gc.collect()
            gc.freeze()
            self._tell("ready")

    async def on_tick(self, counter: int) -> bool:
        self._tell("alive")
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._tell("stopping")
        self._let_go()
        await super().shutdown(sockets)


def serve(settings: Settings, tell: Tell = lambda _: None) -> None:
    """Returns after SIGINT or SIGTERM. Raises SettingsError where it cannot start."""
    # It would tell of its context whenever the schema is checked.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    store = open_store(settings)
    try:
        check(store, settings)
    finally:
        store.close()
    # While a thread writes a snapshot, whoever waits for an answer waits no longer than this.
    sys.setswitchinterval(0.001)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=Protocol,
        h11_max_incomplete_event_size=HEADER_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        # It would believe anybody on this machine: api/origin.py asks who is trusted.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"TLS: {settings.tls_cert}, {settings.tls_key}: no usable certificate and key: {error}"
        ) from error
    _allow_connections()
    with _listen(settings) as listener:
        host, port = listener.getsockname()[:2]
        scheme = "http" if settings.tls_cert is None else "https"
        shown = f"[{host}]" if ":" in host else host
        _log.info("registry %s at %s://%s:%d", settings.database, scheme, shown, port)
        _settle()
        server = _Server(config, app.state.let_go, tell)
        with _quiet_end(server):
            server.run(sockets=[listener])


def _allow_connections() -> None:
    """Every waiting router has one, and the usual 1,024 files are too few for a thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settle() -> None:
    """All that is there by now stays. Gone through for garbage, it would hold up everybody for a
    tenth of a second and more, often just when a change goes to a thousand routers at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def _quiet_end(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises the signal that ended it once more: here it has done its work. One that comes
    before uvicorn looks for them ends it all the same."""

    def end(*_: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(settings: Settings) -> socket.socket:
    where = (settings.host, settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(where, family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"{settings.host}:{settings.port}: cannot listen here ({error.strerror}): is another "
            "`peergate api serve` running? Choose another place with PEERGATE_LISTEN or --listen"
        ) from error
    # asyncio does not see that this is TCP. Connections inherit it: else an answer's body waits
    # for the acknowledgement of its headers, which a client puts off by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
    return listener
