"""Ports of loopback that nobody uses."""

import socket


def free_port() -> int:
    """Free now; whoever is told it should listen there soon."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
