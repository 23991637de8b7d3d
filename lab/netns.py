"""Network namespaces for the tests and the demo.

A namespace is held by a file descriptor alone and has no entry in /run/netns: it
goes, with its links, when this process and those started in it are gone. Two runs
can never meet, and nothing is left behind, not even after a SIGKILL.

Processes are started by entering the namespace (setns of the calling thread, which
a child inherits), never by `ip netns exec`: that one makes a private mount
namespace, and maps pinned in a bpffs mounted there vanish with it.
"""

import ctypes
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface, ip_network
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pyroute2 import IPRoute

from lab.lifetime import ending_with_us

CLONE_NEWNET = 0x40000000
NO_DUPLICATE_DETECTION = 0x02  # IFA_F_NODAD: an IPv6 address is usable at once

Netlink = Any  # pyroute2's IPRoute, which has no types

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something in the lab could not be set up, or did not come up."""


def _system(call: str, *arguments: int) -> None:
    if getattr(_libc, call)(*arguments) != 0:
        number = ctypes.get_errno()
        raise LabError(f"{call}: {os.strerror(number)}: the lab needs root (CAP_SYS_ADMIN)")


def end(process: subprocess.Popen[Any], grace: float = 3.0) -> int:
    """SIGTERM, after `grace` seconds SIGKILL; closes its pipes; answers its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return int(process.returncode)


class Namespace:
    """One network namespace, `lo` up; closing it ends the processes started in it.

    The name is for people only. Use it from one thread at a time.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[Any]] = []
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _system("unshare", CLONE_NEWNET)
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            _system("setns", home, CLONE_NEWNET)
        finally:
            os.close(home)
        self.up("lo")
        self.sysctl("ipv6/conf/default/accept_dad", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, last started first, and let go of the namespace."""
        while self._processes:
            end(self._processes.pop())
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def path(self) -> Path:
        """For `nsenter --net=PATH`, while this process lives."""
        return Path(f"/proc/{os.getpid()}/fd/{self.fd}")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this namespace: sockets, children and /proc/sys/net too."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _system("setns", self.fd, CLONE_NEWNET)
            try:
                yield
            finally:
                _system("setns", home, CLONE_NEWNET)
        finally:
            os.close(home)

    # Processes

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process here, in a session of its own; `close` ends it, and so does our death.

        ("Our" is the *thread's* that called this.)
        """
        with self.entered():
            process = subprocess.Popen(
                ending_with_us([*map(str, argv)]),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                text=True,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float = 60.0,
        check: bool = False,
        text: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end; `text` is its standard input.

        Raises LabError where it is not installed, takes longer than `timeout` seconds,
        or, with `check`, fails.
        """
        try:
            with self.entered():
                done = subprocess.run(
                    list(map(str, argv)),
                    input=text or "",
                    capture_output=True,
                    text=True,
                    timeout=timeout,
                    check=False,
                    env=env,
                )
        except FileNotFoundError:
            raise LabError(f"{argv[0]} is not installed: run `make setup`") from None
        except subprocess.TimeoutExpired:
            line = shlex.join(map(str, argv))
            raise LabError(f"{line}: not done after {timeout:g} s") from None
        if check and done.returncode:
            line = shlex.join(map(str, argv))
            raise LabError(f"{line}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this namespace; the caller closes it."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    # Links, addresses, routes

    @contextmanager
    def netlink(self) -> Iterator[Netlink]:
        """An rtnetlink socket (pyroute2's IPRoute) of this namespace, for the calling thread."""
        with self.entered(), IPRoute() as netlink:
            yield netlink

    def index(self, link: str) -> int:
        with self.netlink() as netlink:
            return self._index(netlink, link)

    def _index(self, netlink: Netlink, link: str) -> int:
        found = netlink.link_lookup(ifname=link)
        if not found:
            raise LabError(f"namespace {self.name} has no link {link}")
        return int(found[0])

    def links(self) -> dict[str, int]:
        """Names and indexes of the links here."""
        with self.netlink() as netlink:
            return {link.get("ifname"): int(link["index"]) for link in netlink.get_links()}

    def mac(self, link: str) -> str:
        with self.netlink() as netlink:
            return str(netlink.link("get", index=self._index(netlink, link))[0].get("address"))

    def set_link(self, link: str, **changes: str | int) -> None:
        """What pyroute2's link("set") takes: state, ifname, mtu, address, net_ns_fd."""
        with self.netlink() as netlink:
            netlink.link("set", index=self._index(netlink, link), **changes)

    def up(self, link: str) -> None:
        self.set_link(link, state="up")

    def down(self, link: str) -> None:
        self.set_link(link, state="down")

    def rename(self, link: str, name: str) -> None:
        """The link must be down (before Linux 6.2)."""
        self.set_link(link, ifname=name)

    def delete(self, link: str) -> None:
        with self.netlink() as netlink:
            netlink.link("del", index=self._index(netlink, link))

    def add_address(self, link: str, address: str) -> None:
        """`address` with its prefix length: 192.0.2.1/24, 2001:db8::1/64."""
        interface = ip_interface(address)
        flags = {"flags": NO_DUPLICATE_DETECTION} if interface.version == 6 else {}
        with self.netlink() as netlink:
            netlink.addr(
                "add",
                index=self._index(netlink, link),
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                **flags,
            )

    def add_route(self, destination: str, via: str) -> None:
        """`destination` is a prefix; 0.0.0.0/0 and ::/0 are the default routes."""
        with self.netlink() as netlink:
            netlink.route("add", dst=str(ip_network(destination)), gateway=via)

    def sysctl(self, key: str, value: int | str) -> None:
        """`key` with slashes below net: ipv4/ip_forward."""
        with self.entered():
            (Path("/proc/sys/net") / key).write_text(f"{value}\n")

    def forward(self) -> None:
        """Be a router."""
        self.sysctl("ipv4/ip_forward", 1)
        self.sysctl("ipv6/conf/all/forwarding", 1)


def veth(a: Namespace, a_name: str, b: Namespace, b_name: str) -> None:
    """Two joined links, one in each namespace, both up; they go with either namespace."""
    with a.netlink() as netlink:
        netlink.link(
            "add",
            ifname=a_name,
            kind="veth",
            peer={"ifname": b_name, "net_ns_fd": b.fd},
        )
    a.up(a_name)
    b.up(b_name)


@contextmanager
def namespaces(label: str, *names: str) -> Iterator[list[Namespace]]:
    """Several namespaces, named label-name."""
    with ExitStack() as stack:
        yield [stack.enter_context(Namespace(f"{label}-{name}")) for name in names]
