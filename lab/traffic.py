"""Traffic of the demo's hosts other than what the tunnels do by themselves."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from subprocess import DEVNULL

from lab.netns import Namespace, end
from lab.vpn import TunnelClient

CHUNK = 1 << 16
PATIENCE = 10.0  # seconds, unless said


@contextmanager
def beacon(namespace: Namespace, address: str, port: int) -> Iterator[None]:
    """A datagram every 20 ms to a service: the first to arrive says when a gate opened."""
    done = threading.Event()

    def send(sender: socket.socket) -> None:
        while not done.wait(0.02):
            sender.sendto(b"not of any VPN", (address, port))

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.socket(family, socket.SOCK_DGRAM) as sender:
        thread = threading.Thread(target=send, args=(sender,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def pinging(*clients: TunnelClient) -> Iterator[None]:
    """Twenty echo requests a second through each of the tunnels."""
    with ExitStack() as stack:
        for client in clients:
            ping = client.namespace.popen(
                ["ping", "-n", "-q", "-i0.05", client.inside], stdout=DEVNULL, stderr=DEVNULL
            )
            stack.callback(end, ping)
        yield


def datagrams(namespace: Namespace, address: str, port: int, count: int) -> None:
    """Send `count` datagrams to a host."""
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"not of any VPN", (address, port))


def transfer(
    sender: Namespace,
    receiver: Namespace,
    address: str,
    port: int,
    size: int,
    patience: float = PATIENCE,
) -> int:
    """Send `size` random bytes over TCP; answers how many arrived, 0 where any is wrong."""
    content = os.urandom(size)

    def send(client: socket.socket) -> None:
        with client, suppress(TimeoutError):
            client.settimeout(patience)
            client.connect((address, port))
            client.sendall(content)

    received = bytearray()
    with receiver.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.settimeout(patience)
        listener.bind((address, port))
        listener.listen()
        client = sender.socket(socket.AF_INET, socket.SOCK_STREAM)
        thread = threading.Thread(target=send, args=(client,))
        thread.start()
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(patience)
                while part := connection.recv(CHUNK):
                    received += part
        thread.join()
    return len(received) if content.startswith(received) else 0
