"""httpx on an application in this process, for tests that are not asynchronous themselves."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

T = TypeVar("T")


class Client:
    """Requests with one token; each is carried out on the application's own event loop."""

    def __init__(
        self,
        portal: BlockingPortal,
        app: FastAPI,
        token: str | None,
        address: str = "127.0.0.1",
    ) -> None:
        self._portal = portal
        self._app = app
        self.token = token or ""
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._transport = httpx.ASGITransport(
            app, raise_app_exceptions=False, client=(address, 4711)
        )

    def with_token(self, token: str, address: str = "127.0.0.1") -> "Client":
        """The same with another token, at another address."""
        return Client(self._portal, self._app, token, address)

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        response: httpx.Response = self._portal.call(self._request, method, url, kwargs)
        return response

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Carried out on the application's event loop."""
        return self._portal.call(work)

    def get(self, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        return self.request("GET", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        return self.request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        return self.request("PUT", url, **kwargs)

    def patch(self, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        return self.request("PATCH", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> httpx.Response:  # noqa: ANN401
        return self.request("DELETE", url, **kwargs)

    async def _request(self, method: str, url: str, kwargs: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://registry.test", headers=self._headers
        ) as http:
            return await http.request(method, url, **kwargs)


@contextmanager
def running(app: FastAPI) -> Iterator[BlockingPortal]:
    """The application's event loop in a thread, from its start to its end."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield portal
