"""Whoever is told by webhook, on loopback."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.watch import wait_until

# How a delivery is answered: by the number of those before it.
Answer = Callable[[int], int]


class Receiver:
    """Keeps what it took, and whether its signature was right."""

    def __init__(self, answer: Answer, location: str | None) -> None:
        self.answer = answer
        self.location = location
        self.asked = 0
        self.taken: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""

    @property
    def ids(self) -> list[int]:
        return [each["id"] for each in self.taken]

    def until(self, reached: Callable[[], bool], seconds: float = 20) -> None:
        assert wait_until(reached, seconds), (self.asked, self.taken)


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Written from the specification: nothing of ours in it."""
    key = base64.b64decode(secret[len("whsec_") :])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split()


@contextmanager
def receiving(answer: Answer = lambda _: 204, location: str | None = None) -> Iterator[Receiver]:
    receiver = Receiver(answer, location)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = receiver.asked
            receiver.asked += 1
            receiver.gate.wait(60)
            status = receiver.answer(number)
            if status < 300:
                receiver.taken.append(json.loads(body))
                receiver.headers.append({k.lower(): v for k, v in self.headers.items()})
                receiver.bodies.append(body)
            self.send_response(status)
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.gate.set()
            server.shutdown()
            thread.join()
