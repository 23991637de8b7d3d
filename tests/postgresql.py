"""A PostgreSQL server of the tests' own, on loopback, that does not outlive them."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from lab.lifetime import ending_with_us
from tests.ports import free_port

# It refuses to run as root.
_AS_ITS_USER = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")
_OWNER = "peergate"
# To be escaped wherever it is part of a URL.
_PASSWORD = "p/g#1?@"
_DEADLINE = 60.0
_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30  # bytes


def program(name: str) -> Path | None:
    """Debian keeps them out of the PATH, by version; the newest counts."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return max(found, key=lambda path: int(path.parts[-3]), default=None)


class Server:
    """One server with a directory of its own. It can be killed, and started again.

    `durable`: what is committed is on the disk, as in production.
    """

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self._durable = durable
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.port = free_port()

    def make(self) -> None:
        shutil.chown(self._directory, "postgres", "postgres")
        password = self._directory / "password"
        password.write_text(_PASSWORD)
        shutil.chown(password, "postgres")
        # Names in another order than that of their bytes: what we sort must not depend on it.
        order = ("--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
        # With scram-sha-256 either side would compute for 10 ms, at each connection of each test.
        who = ("-U", "postgres", "--auth=md5", f"--pwfile={password}")
        made = subprocess.run(
            [*_AS_ITS_USER, _needed("initdb"), "-D", self._data, "-E", "UTF8", "-N", *order, *who],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        """Asynchronous commits, unless a session asks for more: ours must."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "wal_writer_delay": "10s",
            "max_wal_size": "256MB",
        }
        said = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_AS_ITS_USER,
                    *ending_with_us([_needed("postgres"), "-D", str(self._data), *said]),
                ],
                cwd=self._directory,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _DEADLINE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Orderly, but without waiting for those who are connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_DEADLINE)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """With all its processes, in the middle of whatever they do."""
        assert self._process is not None
        number = self._process.pid
        os.kill(number, signal.SIGSTOP)  # no more children
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        for each in (number, *map(int, children)):
            os.kill(each, signal.SIGKILL)
        self._process.wait()
        self._process = None
        end = time.monotonic() + _DEADLINE
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < end
            time.sleep(0.01)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Killed, until the block ends."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Stopped, with all its processes and connections, until the block ends."""
        assert self._process is not None
        number = self._process.pid
        os.kill(number, signal.SIGSTOP)  # no more children
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        try:
            yield
        finally:
            for each in (*map(int, children), number):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)

    def url(self, database: str) -> str:
        return f"postgresql://{_OWNER}:{quote(_PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def make_owner(self) -> None:
        self.do(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(_OWNER), sql.Literal(_PASSWORD)
            )
        )

    def make_database(self, template: str = "template0", encoding: str = "UTF8") -> str:
        """The name of a new one, which is a copy of `template`."""
        self._made += 1
        name = f"registry_{self._made}"
        order = "" if encoding == "UTF8" else " LOCALE_PROVIDER libc LOCALE 'C'"
        self.do(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING {} STRATEGY FILE_COPY" + order
            ).format(*map(sql.Identifier, (name, _OWNER, template)), sql.Literal(encoding))
        )
        return name

    @contextmanager
    def database(self, template: str = "template0", encoding: str = "UTF8") -> Iterator[str]:
        """The URL of a new database, which goes at the end."""
        name = self.make_database(template, encoding)
        try:
            yield self.url(name)
        finally:
            self.do(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def do(self, command: sql.Composed) -> None:
        with self._admin() as connection:
            connection.execute(command)

    def _answers(self) -> bool:
        try:
            self._admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=_PASSWORD,
            dbname="postgres",
            autocommit=True,
        )


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="peergate-postgresql-", dir=_place(durable)))
    server = Server(directory, durable=durable)
    try:
        server.make()
        server.start()
        server.make_owner()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def _place(durable: bool) -> Path | None:
    """In memory, where that has room: each test's database is 300 files that come and go, and ext4
    looks at each inode that was lately deleted before it takes one (0.4 s a test)."""
    if durable or not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        return None
    return _MEMORY


def _needed(name: str) -> str:
    found = program(name)
    assert found is not None, f"PostgreSQL's {name} not found: run `make setup` first"
    return str(found)
