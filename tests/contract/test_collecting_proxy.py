"""A proxy that passes on no answer before it is whole: changes come all the same."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from control import following
from control.registry import RegistryClient
from tests.api.bodies import gateway
from tests.contract.test_agent_follows_registry import Registry, registry

__all__ = ["registry"]


class _Collects(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Proxy"

    def do_GET(self) -> None:
        headers = {name: self.headers[name] for name in ("Authorization", "Accept")}
        try:
            with httpx.Client(base_url=self.server.behind, timeout=5.0) as client:
                found = client.get(self.path, headers=headers)
        except httpx.TimeoutException:
            self.close_connection = True
            return
        self.send_response(found.status_code)
        for name, value in found.headers.items():
            if name.startswith("peergate-") or name == "content-type":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(found.content)))
        self.end_headers()
        self.wfile.write(found.content)

    def log_message(self, *_: object) -> None:
        pass


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Collects)
        self.behind = behind


@pytest.fixture
def proxy(registry: Registry) -> Iterator[str]:
    with _Proxy(registry.url) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}"
        finally:
            made.shutdown()
            thread.join()


class Client(RegistryClient):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.accepted: list[str] = []

    def _asked(self, after: int, accepted: str) -> AbstractAsyncContextManager[httpx.Response]:
        self.accepted.append(accepted)
        return super()._asked(after, accepted)


def test_changes_are_asked_for_one_by_one(
    registry: Registry,
    proxy: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(following, "FIRST_LINE", 1.0)
    registry.do("POST", "/v1/gateways", gateway())

    async def follow() -> None:
        async with Client(proxy, registry.token_file) as client:
            assert set((await client.changes(0)).gateways) == {"hub"}
            await asyncio.to_thread(registry.approved)
            assert (await client.changes(1)).revision == 2
            lines, *rest = client.accepted
            assert "ndjson" in lines
            assert rest == ["application/json"] * 2

    asyncio.run(follow())
    assert "let the proxy there pass on at once" in caplog.text
