"""What every command owes its user: help with examples, exit codes, one line when it fails."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import get_args, get_type_hints

import pytest
import typer.main
from typer.core import TyperGroup

from api.records import Role
from cli import tokens
from cli.main import application
from tests.cli.conftest import Peergate

ROOT = Path(__file__).parents[2]


def commands() -> list[tuple[str, ...]]:
    """Every command there is, as the words that name it."""
    return list(_below(typer.main.get_command(application())))


def _below(command: object, *words: str) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, TyperGroup):
        yield words
        return
    for name, each in command.commands.items():
        yield from _below(each, *words, name)


def test_all_commands_are_there() -> None:
    assert {" ".join(words) for words in commands()} == {
        *("api init", "api serve", "api token", "agent", "status", "apply", "detach"),
        *("doctor", "events", "webhook add", "webhook list", "webhook show", "webhook set"),
        *("webhook renew", "webhook test", "webhook remove"),
        *("api key show", "api key rotate", "api key make", "api backup"),
        *("gateway add", "gateway list", "gateway show", "gateway set", "gateway remove"),
        *("gateway readiness", "gateway plan-cutover", "gateway confirm-cutover"),
        *("gateway return",),
        *("peer add", "peer list", "peer show", "peer approve", "peer reject", "peer revoke"),
        *("audit list", "audit export", "audit verify"),
        *(
            "peer renew",
            "peer export",
            "peer import",
            "export",
            "peer propose",
            "peer grant",
            "peer decline",
        ),
        *("rules show", "rules set", "peer expiring"),
        *("peer bounds", "peer token", "peer here", "peer move"),
        *("token add", "token list", "token remove", "explain", "replay", "top", "capture"),
        *("router add", "router list", "router show", "router label", "router token"),
        *("router remove", "revision list", "rollback", "rollout set", "rollout status"),
        *("stranger list", "stranger show", "stranger register", "stranger sign-off"),
        *("stranger take-back", "stranger sign-offs", "router strangers"),
        *("rollout confirm", "rollout abort", "rollout off", "api lift"),
    }


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_has_examples(
    offline_peergate: Peergate, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    helped = offline_peergate(*words, "--help")
    assert (helped.code, helped.err) == (0, "")
    assert "Examples:" in helped.out
    examples = helped.out.partition("Examples:")[2].partition("╭")[0]
    assert f"peergate {' '.join(words)}" in examples
    # Each stands as it would be typed: a line that the terminal broke starts in the middle.
    broken = [
        line
        for before, line in pairwise(examples.splitlines())
        if line.strip() and "peergate" not in line and not before.rstrip().endswith("\\")
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("peer", "show"), "Missing argument 'PEER'"),
        (("gateway", "add", "hub"), "Missing option '--address'"),
        (("gateway", "set", "hub"), "nothing to change"),
        (("gateway", "set", "hub", "--mode", "off"), "'off' is not one of 'monitor', 'enforce'"),
        (("peer", "list", "--state", "dead"), "'dead' is not one of 'pending'"),
        (("token", "add", "a", "--role", "root"), "'root' is not one of 'viewer'"),
        (("peer", "list", "--url", "ftp://x"), "--url ftp://x: must be an http or https address"),
        (("peer", "list", "--token-file", "none"), "--token-file none: cannot be read"),
        (("explain", "--src", "x", "--dst", "::1", "--proto", "udp"), "--src x: not an IPv4 or"),
        (("replay", "a.pcap"), "say what to judge by: --policy FILE, --current"),
        (("agent", "--accept-registry", "a", "--accept-removal", "1"), "one at a time"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_line(
    offline_peergate: Peergate,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("PEERGATE_AGENT_INTERFACES", "eth0")
    refused = offline_peergate(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert refused.err.startswith("peergate: ")
    assert refused.err.count("\n") == 1


def test_without_a_command_help_is_shown(offline_peergate: Peergate) -> None:
    helped = offline_peergate()
    assert (helped.code, helped.err) == (2, "")
    assert "Usage: peergate" in helped.out


def test_version(offline_peergate: Peergate) -> None:
    shown = offline_peergate("--version")
    assert shown.code == 0
    assert shown.out.startswith("peergate 0.")


# The registry out of reach


def test_a_registry_that_does_not_run(offline_peergate: Peergate) -> None:
    with create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    refused = offline_peergate("peer", "list", "--url", url)
    assert refused.code == 1
    assert refused.err == (
        f"peergate: {url}: connection refused: start the registry (peergate api serve), "
        "or name another with --url or PEERGATE_URL\n"
    )


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is no registry."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            path = self.path.partition("?")[0]
            status = 200 if path in ("/v1/gateways", "/v1/events") else 502
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>\x1b[31mhello")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_something_that_is_no_registry(offline_peergate: Peergate, stranger: str) -> None:
    refused = offline_peergate("peer", "list", "--url", stranger)
    assert refused.code == 1
    assert "answered 502 Bad Gateway to GET /v1/peers; is this a peergate registry?" in refused.err
    refused = offline_peergate("gateway", "list", "--url", stranger)
    assert refused.code == 1
    assert "the answer is not JSON" in refused.err
    refused = offline_peergate("events", "--url", stranger)
    assert refused.code == 1
    assert "not text/event-stream: this is not the registry" in refused.err


def test_https_where_there_is_none(offline_peergate: Peergate, stranger: str) -> None:
    url = stranger.replace("http:", "https:")
    refused = offline_peergate("peer", "list", "--url", url)
    assert refused.code == 1
    assert "no TLS there" in refused.err
    assert refused.err.count("\n") == 1


def test_a_certificate_that_nobody_vouches_for(
    offline_peergate: Peergate, stranger_with_tls: tuple[str, Path]
) -> None:
    url, certificate = stranger_with_tls
    refused = offline_peergate("peer", "list", "--url", url)
    assert refused.code == 1
    assert "its certificate is not trusted: self-signed certificate" in refused.err
    assert "give the authority with --ca-file" in refused.err
    trusted = offline_peergate("peer", "list", "--url", url, "--ca-file", certificate)
    assert "is this a peergate registry?" in trusted.err
    refused = offline_peergate("peer", "list", "--url", url, "--ca-file", "none.pem")
    assert refused.code == 2
    assert "--ca-file none.pem: holds no certificate that can be read" in refused.err


@pytest.fixture
def stranger_with_tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Server(HTTPServer):
        def get_request(self) -> tuple[ssl.SSLSocket, object]:
            connection, address = self.socket.accept()
            return context.wrap_socket(connection, server_side=True), address

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", certificate
        server.shutdown()
        thread.join(10)


# The process


def python(code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


MAIN = "from cli.main import main; main()"


def test_a_client_command_loads_nothing_of_router_or_service() -> None:
    done = python(
        "import sys; from cli.main import run; code = run(['peer', 'list']); "
        "loaded = {name.split('.')[0] for name in sys.modules}; "
        "print(code, *loaded & {'api', 'control', 'policy', 'bcc', 'scapy', 'fastapi', "
        "'sqlalchemy', 'pyroute2', 'uvicorn', 'yaml'})",
        PEERGATE_URL="http://127.0.0.1:1",
    )
    assert done.stdout == "1\n"


def test_an_unexpected_error_is_one_line_unless_it_is_looked_for() -> None:
    broken = "import cli.peers; cli.peers.connect = lambda *a: 1 / 0\n" + MAIN
    done = python(broken, "peer", "list")
    assert done.returncode == 1
    assert done.stderr == (
        "peergate: ZeroDivisionError: division by zero (PEERGATE_DEBUG=1 shows where)\n"
    )
    done = python(broken, "peer", "list", PEERGATE_DEBUG="1")
    assert "Traceback" in done.stderr


def test_a_reader_that_goes_away_is_no_error_to_talk_of() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "peer", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == ""
    assert process.returncode in (0, 1)


def test_tokens_have_the_registrys_roles() -> None:
    """An owner's is made with its peer."""
    (hint, *_) = get_args(get_type_hints(tokens.add, include_extras=True)["role"])
    assert set(get_args(hint)) == set(Role) - {Role.OWNER}
