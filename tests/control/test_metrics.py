"""What a Prometheus reads of an agent: as status has it, and never backwards."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from http.client import HTTPResponse
from ipaddress import ip_address
from pathlib import Path

import pytest

from control import check, links
from control.errors import DataPlaneError
from control.exposition import PLACES, Exposition
from control.settings import Endpoint, load_settings
from lab.topology import UPLINK
from lab.watch import wait_until
from tests.control.edge import BRANCH_PEER, SECONDS, AgentProcess, Edge, gateway, many_peers, peer
from tests.control.registry_server import Registry
from tests.control.test_agent_attach import foreign_program, put
from tests.control.test_agent_registry import registry  # noqa: F401  # a fixture
from tests.ports import free_port
from tests.scrape import Scrape, assert_good, documented

PORT = 9470


def start(edge: Edge, **changes: object) -> AgentProcess:
    edge.configure(metrics_listen=PORT, **changes)
    agent = edge.start()
    agent.wait_for(rf"metrics at http://127\.0\.0\.1:{PORT}/metrics")
    return agent


def ask(edge: Edge, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    """On the router itself."""
    with edge.net.router.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.settimeout(SECONDS)
        made.connect(("127.0.0.1", PORT))
        made.sendall(f"{method} {path} HTTP/1.1\r\nHost: router\r\n\r\n".encode())
        response = HTTPResponse(made, method=method)
        response.begin()
        return response.status, response.read().decode()


def scrape(edge: Edge) -> Scrape:
    status, text = ask(edge)
    assert status == 200, text
    return Scrape.of(text)


def counted(edge: Edge) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What `peergate status` says, where it says anything: by gateway, verdict and action."""
    status = edge.status()
    of = {"": status.others} | {each.name: each.counters for each in status.gateways}
    return {
        (gateway, *_split(name)): (count.packets, count.bytes)
        for gateway, counts in of.items()
        for name, count in counts.items()
        if count.packets
    }


def _split(name: str) -> tuple[str, str]:
    verdict, _, action = name.rpartition("_")
    return verdict, action


def as_counted(found: Scrape) -> dict[tuple[str, str, str], tuple[int, int]]:
    by = {
        tuple(dict(labels).get(name, "") for name in ("gateway", "verdict", "action")): (
            int(value),
            int(found.values["peergate_bytes_total", labels]),
        )
        for (name, labels), value in found.values.items()
        if name == "peergate_packets_total"
    }
    return {key: count for key, count in by.items() if count[0]}  # type: ignore[misc]


def test_the_numbers_are_those_of_status(edge: Edge) -> None:
    edge.write_policy(
        [BRANCH_PEER, peer("gone", "203.0.113.200", valid_until="2020-01-01T00:00:00Z")]
    )
    start(edge)
    assert edge.lets_in(branch=True)
    # Namespaces are never quite quiet.
    assert wait_until(lambda: as_counted(scrape(edge)) == counted(edge), SECONDS)
    found = scrape(edge)
    assert found.value("peergate_packets_total", gateway="hub", verdict="registered", action="pass")
    assert ("", "bystander") in {
        (dict(labels)["gateway"], dict(labels)["verdict"]) for _, labels in found.counters()
    }
    status = edge.status()
    assert found.value("peergate_applied_revision") == status.revision == 1
    assert found.value("peergate_known_revision") == 1
    assert found.value("peergate_filled") == 1
    assert found.value("peergate_change_held") == 0
    assert found.value("peergate_gateway_enforces", gateway="hub") == 1
    entries = {
        (kind, state): found.value("peergate_entries", kind=kind, state=state)
        for kind in ("host", "prefix")
        for state in ("active", "future", "expired")
    }
    assert entries.pop(("host", "active")) == 2
    assert entries.pop(("host", "expired")) == 1
    assert set(entries.values()) == {0}
    assert (status.hosts, status.prefixes) == (3, 0)
    assert found.value("peergate_interface_attached", interface=UPLINK, attach="native") == 1
    assert found.value("peergate_sync_seconds_count", kind="file") == 0
    # What has not happened yet counts from nothing, and what cannot happen is not there.
    assert (
        found.value("peergate_packets_total", gateway="hub", verdict="malformed", action="drop")
        == 0
    )
    assert "other" not in {
        dict(labels)["verdict"] for _, labels in found.counters() if dict(labels)["gateway"]
    }
    assert_good([found])


def test_counters_go_on_whatever_becomes_of_the_agent(edge: Edge) -> None:
    """A restart, a program replaced, larger tables, and a gateway removed and back."""
    edge.write_policy()
    agent = start(edge)
    assert edge.lets_in(branch=True)
    seen = scrape(edge).counters()
    assert sum(seen.values()) > 0

    def goes_on() -> None:
        nonlocal seen
        now = scrape(edge).counters()
        assert {key: value for key, value in seen.items() if now[key] < value} == {}
        seen = now

    agent.kill()
    agent = start(edge)
    goes_on()
    edge.write_policy([], [gateway(name="other", addresses=["198.51.100.99"])])
    agent.wait_for("revision 2 of file is in force")
    goes_on()
    program = edge.program()
    edge.write_policy([BRANCH_PEER, *many_peers(900)])
    agent.wait_for("larger tables")
    assert wait_until(lambda: edge.program() not in (None, program), SECONDS)
    assert edge.lets_in(branch=True)
    before = seen
    goes_on()
    assert seen != before
    assert_good([scrape(edge)])


def test_what_somebody_did_to_the_program_is_counted(edge: Edge) -> None:
    edge.write_policy()
    agent = start(edge)
    assert scrape(edge).value("peergate_interface_put_back_total") == 0
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    agent.wait_for("uplink: program [0-9]+ was taken off: it is put back")
    found = scrape(edge)
    assert found.value("peergate_interface_put_back_total") == 1
    assert found.value("peergate_agent_messages_total", level="warning") == 1
    assert found.value("peergate_interface_attached", interface=UPLINK, attach="native") == 1
    with foreign_program(edge) as fd:
        put(edge, fd, links.MODE_FLAG["native"])
        agent.wait_for("somebody else's XDP program sits there")
        found = scrape(edge)
    assert found.value("peergate_interface_attached", interface=UPLINK, attach="native") == 0
    assert found.value("peergate_agent_messages_total", level="error") == 1


def test_a_held_change_and_one_that_ends_soon(edge: Edge) -> None:
    edge.write_policy(many_peers(200))
    agent = start(edge)
    edge.write_policy([BRANCH_PEER])
    agent.wait_for("held until")
    found = scrape(edge)
    assert found.value("peergate_change_held") == 1
    assert found.value("peergate_known_revision") == 2
    assert found.value("peergate_applied_revision") == 1


def test_every_metric_is_documented(edge: Edge, registry: Registry) -> None:  # noqa: F811
    """Of an agent that follows a registry: with all that there is."""
    registry.set([BRANCH_PEER])
    configured = {
        "registry_url": edge.settings.registry_url,
        "token_file": edge.settings.token_file,
    }
    edge.configure(metrics_listen=PORT, **{key: str(value) for key, value in configured.items()})
    edge.start(on_policy=False).wait_for("metrics at")
    assert wait_until(lambda: "peergate_clock_offset_seconds" in scrape(edge).families, SECONDS)
    registry.set([BRANCH_PEER, peer("guest", "203.0.113.201")])
    assert wait_until(lambda: scrape(edge).value("peergate_applied_revision") == 3, SECONDS)
    found = scrape(edge)
    assert found.described() == documented("On a router")
    assert found.value("peergate_registry_followed") == 1
    assert time.time() - found.value("peergate_registry_heard_timestamp_seconds") < 60
    for kind in ("snapshot", "changes"):
        assert found.value("peergate_sync_seconds_count", kind=kind) == 1
        assert 0 <= found.value("peergate_sync_seconds_sum", kind=kind) < SECONDS
    put(edge, links.DETACH, links.MODE_FLAG["native"])
    assert wait_until(lambda: registry.report["put_back"] == 1, SECONDS)
    registry.close()
    assert wait_until(lambda: scrape(edge).value("peergate_registry_followed") == 0, SECONDS)
    assert_good([found])


def test_only_metrics_are_there(edge: Edge) -> None:
    edge.write_policy()
    start(edge)
    assert ask(edge, "/")[0] == 404
    assert ask(edge, method="POST")[0] == 405
    assert ask(edge, method="HEAD") == (200, "")


def test_a_port_that_is_taken_keeps_the_agent_from_nothing(edge: Edge) -> None:
    edge.write_policy()
    with edge.net.router.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.1", PORT))
        other.listen()
        edge.configure(metrics_listen=PORT)
        agent = edge.start()
        agent.wait_for("metrics: 127.0.0.1:9470: cannot listen there: .*in use")
        assert edge.lets_in(branch=True)
    agent.wait_for("metrics at http")
    assert scrape(edge).value("peergate_filled") == 1


def served(
    work: Callable[[int], Awaitable[None]], text: Callable[[], Awaitable[bytes]] | None = None
) -> None:
    """`work` is done with the port of an exposition."""

    async def fixed() -> bytes:
        return b"up 1\n"

    async def run() -> None:
        port = free_port()
        exposition = Exposition(Endpoint(ip_address("127.0.0.1"), port), text or fixed)
        serving = asyncio.create_task(exposition.run())
        try:
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    break
            await work(port)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), SECONDS))


async def said(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


GET = b"GET /metrics HTTP/1.1\r\n\r\n"


def test_whoever_holds_all_places_holds_up_metrics_alone() -> None:
    async def work(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(PLACES)]
        for _, writer in held:
            writer.write(b"GET /metr")
            await writer.drain()
        while await said(port, GET):
            await asyncio.sleep(0.01)
        held[0][1].close()
        while not (await said(port, GET)).endswith(b"\r\n\r\nup 1\n"):
            await asyncio.sleep(0.01)
        for _, writer in held:
            writer.close()

    served(work)


def test_a_head_without_end_is_not_kept() -> None:
    async def work(port: int) -> None:
        assert await said(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000) == b""
        assert (await said(port, b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")

    served(work)


def test_maps_that_cannot_be_read_are_told_of() -> None:
    async def fails() -> bytes:
        raise DataPlaneError("map counters could not be read: it is gone")

    async def work(port: int) -> None:
        answer = await said(port, GET)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"it is gone" in answer

    served(work, fails)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (9470, "127.0.0.1:9470"),
        ("9470", "127.0.0.1:9470"),
        ("192.0.2.1:9470", "192.0.2.1:9470"),
        ("[::1]:9470", "[::1]:9470"),
    ],
)
def test_where_it_listens(tmp_path: Path, value: object, where: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f'interfaces = ["eth0"]\nrouter = "edge-1"\nmetrics_listen = {value!r}\n')
    settings = load_settings(file, {})
    assert str(settings.metrics_listen) == where
    warned = [each.level for each in check.metrics(settings)]
    assert warned == (["warning"] if where.startswith("192.0.2.1") else [])
