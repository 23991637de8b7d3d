"""The lab's tunnels come up through an ungated router, carry packets, and are gone afterwards."""

import socket
from pathlib import Path

import pytest

from lab.openvpn import OpenVpnGateway
from lab.topology import (
    BRANCH,
    BRANCH_V6,
    GATEWAY,
    GATEWAY_V6,
    STRANGER,
    Topology,
)
from lab.watch import Watch, wait_until
from lab.wireguard import SOCKETS, WireGuardGateway

ENDPOINTS = pytest.mark.parametrize(
    ("endpoint", "source"), [(GATEWAY, BRANCH), (GATEWAY_V6, BRANCH_V6)], ids=["ipv4", "ipv6"]
)


@ENDPOINTS
def test_wireguard(endpoint: str, source: str, tmp_path: Path) -> None:
    with Topology("wireguard") as net, Watch(net.gateway, "eth0") as watch:
        gateway = WireGuardGateway(net.gateway, tmp_path)
        gateway.start()
        client = gateway.client(net.branch, endpoint)
        assert client.source == source
        client.start()
        assert client.wait_up(20)
        assert client.ping().all_back
        assert watch.count(source, socket.IPPROTO_UDP, 51820) > 0
        client.stop()
        assert client.link.name not in net.branch.links()
        assert not client.ping(1).received
        gateway.stop()
        assert gateway.link.name not in net.gateway.links()
    names = {client.link.name, gateway.link.name}
    assert not names & {path.stem for path in SOCKETS.glob("*.sock")}


@ENDPOINTS
def test_openvpn(endpoint: str, source: str, tmp_path: Path) -> None:
    with Topology("openvpn") as net, Watch(net.gateway, "eth0") as watch:
        gateway = OpenVpnGateway(net.gateway, tmp_path)
        client = gateway.client(net.branch, endpoint)
        assert client.source == source
        gateway.start()
        assert not client.is_up()
        client.start()
        assert client.wait_up(20)
        assert client.ping().all_back
        assert watch.count(source, socket.IPPROTO_UDP, 1194) > 0
        client.stop()
        assert not client.is_up()
        assert not client.ping(1).received
        gateway.stop()
        assert gateway.end.name not in net.gateway.links()


def test_two_clients_at_both_gateways(tmp_path: Path) -> None:
    with Topology("both") as net, Watch(net.gateway, "eth0") as watch:
        wireguard = WireGuardGateway(net.gateway, tmp_path)
        wireguard.start()
        openvpn = OpenVpnGateway(net.gateway, tmp_path)
        clients = [
            gateway.client(namespace, GATEWAY)
            for gateway in (wireguard, openvpn)
            for namespace in (net.branch, net.stranger)
        ]
        openvpn.start()
        for client in clients:
            client.start()
        for client in clients:
            assert client.wait_up(20), client.title
        for client in clients:
            assert client.ping().all_back, client.title
        assert watch.count(STRANGER, socket.IPPROTO_UDP, 51820) > 0
        assert watch.count(STRANGER, socket.IPPROTO_UDP, 1194) > 0


def test_tunnels_die_with_their_gateway(tmp_path: Path) -> None:
    with Topology("dead") as net:
        wireguard, openvpn = (
            WireGuardGateway(net.gateway, tmp_path),
            OpenVpnGateway(net.gateway, tmp_path),
        )
        wireguard.start()
        clients = [wireguard.client(net.branch, GATEWAY), openvpn.client(net.branch, GATEWAY)]
        openvpn.start()
        for client in clients:
            client.start()
            assert client.wait_up(20)
        wireguard.stop()
        openvpn.stop()
        assert not clients[0].ping(2).received
        assert not clients[1].ping(2).received
        assert wait_until(lambda: not clients[1].is_up(), 20)
