"""A web server that says 200 to everything is no registry: every command says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cli.errors import RegistryError
from cli.events import _pieces
from tests.cli.conftest import Peergate

COMMANDS = [
    *("status", "peer list", "peer show 1", "peer show site", "peer expiring", "peer approve 1"),
    *("peer revoke 1 --reason x --dry-run", "peer here 1", "peer move 1 --source 192.0.2.1"),
    *("peer token 1", "peer export -o peers.ndjson", "peer import -f one.ndjson"),
    *("peer import -f one.ndjson --dry-run", "export -o policy.yaml", "gateway list"),
    *("gateway show hub", "token list", "token add x --role viewer", "audit list", "audit verify"),
    *("audit export -o audit.ndjson", "rules show", "rules set --four-eyes", "router list"),
    *("router show r", "router add r", "router label r a=b", "revision list", "rollout status"),
    *("rollback --to-revision 1 --yes", "rollout confirm", "rollout abort --yes", "webhook list"),
    *("rollout set --canary a=b", "webhook add w --to https://192.0.2.1/", "webhook test w"),
    "events",
]
JSON, NDJSON = "application/json", "application/x-ndjson"
ANSWERS = [
    ("text/html", b"<html>log in, please</html>"),
    (JSON, b"{}"),
    (JSON, b"[]"),
    (JSON, b"null"),
    (JSON, b'{"ok":true}'),
    (NDJSON, b"{}\n"),
    (NDJSON, b"<html>\n"),
]


@contextmanager
def saying(kind: str, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            for name, value in (("Content-Type", kind), ("ETag", '"1"')):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # the base class's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("kind", "body"), ANSWERS)
def test_what_a_stranger_answers_is_not_taken_for_the_registrys(
    offline_peergate: Peergate,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    body: bytes,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEERGATE_TOKEN", "pg_1_" + "A" * 43)
    Path("one.ndjson").write_text("{}\n")
    with saying(kind, body) as url:
        for command in COMMANDS:
            refused = offline_peergate(*command.split(), "--url", url)
            told = (command, refused.code, refused.err)
            assert refused.code == 1, told
            if command == "audit verify":
                assert "the audit trail is broken" in refused.err or "registry" in refused.err, told
            else:
                assert "registry?" in refused.err or "not the registry" in refused.err, told
    assert [each.name for each in tmp_path.iterdir()] == ["one.ndjson"]


def test_comments_between_events_are_passed_over() -> None:
    pieces = [b": connected\n\nid: 3\ndata: {}\n\n: ali", b"ve\n\n\nid: 4\n\n"]
    assert list(_pieces(iter(pieces))) == [(3, {}), (4, None)]


def test_what_is_no_stream_of_events_is_told() -> None:
    with pytest.raises(RegistryError, match="no events"):
        list(_pieces(iter([b"id: x\n\n"])))
    with pytest.raises(RegistryError, match="no events"):
        list(_pieces(iter([b"id: 3\ndata: <html>\n\n"])))
