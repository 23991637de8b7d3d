"""Debian's kernels, unpacked and not installed, in a cache directory.

A series ("6.1", "7") stands for its newest version in Debian's archives on the day of the
run. The archives are those that this machine's own apt sources name, for other releases too.
"""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SERIES = ("5.10", "6.1", "6.12", "6.18", "7")

# The releases with kernels of several ages, and in which of Debian's two archives they are.
_SUITES = {
    "debian": ("bookworm", "bookworm-backports", "trixie-backports"),
    "security": ("bullseye-security", "bookworm-security", "trixie-security"),
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_INDEX_LASTS = 12 * 3600.0
_SECONDS = 600.0

# Modules that a router, its tunnels and the virtual machine itself may need; depmod is slow.
_MODULES = re.compile(
    r"(net|lib|crypto|arch)/"
    r"|fs/(9p|fuse|overlayfs|squashfs|ext4|jbd2|netfs|fscache|mbcache)"
    r"|drivers/(virtio|block/virtio|char/(hw_random|virtio)|ptp|net/[^/]*$|net/wireguard"
    r"|net/(vxlan|geneve|bonding|vmxnet3|ethernet/intel/(e1000|e1000e|igb|igbvf)/))"
)
_COMPRESSED = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b\x08": "gzip"}


class KernelError(Exception):
    """A kernel cannot be had, and why."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """`release` is what `uname -r` will say."""

    series: str
    release: str
    directory: Path

    @property
    def image(self) -> Path:
        """An ELF file: QEMU starts it directly (PVH), twice as fast as a bzImage."""
        return self.directory / "vmlinux"

    @property
    def modules(self) -> Path:
        """What belongs at /lib/modules/<release>."""
        return self.directory / "modules"


def cache_dir() -> Path:
    """Where kernels and root file systems are kept; may be deleted at any time."""
    named = os.environ.get("PEERGATE_VM_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else base / "peergate" / "vm"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time makes the thing of this name in the cache."""
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kernel(series: str) -> Kernel:
    """The newest kernel of a series, fetched if it is not in the cache. Raises KernelError."""
    with locked("kernels"):
        apt = _Apt(cache_dir() / "apt")
        release = apt.newest(series)
        try:
            directory = _fetched(apt, release)
        except KernelError:
            # Another may have taken its place since the lists were read.
            apt.update()
            if (newer := apt.newest(series)) == release:
                raise
            release, directory = newer, _fetched(apt, newer)
    return Kernel(series, release, directory)


def _fetched(apt: "_Apt", release: str) -> Path:
    directory = cache_dir() / "kernels" / release
    if not directory.is_dir():
        began = time.monotonic()
        _unpack(apt, release, directory)
        took = time.monotonic() - began
        print(f"kernel {release}: fetched and unpacked in {took:.0f} s", file=sys.stderr)
    return directory


def version(release: str) -> list[int]:
    """To sort by: 6.12.115+deb13.1 comes after 6.12.115+deb13."""
    return [int(number) for number in re.findall(r"\d+", release.removesuffix("-amd64"))]


class _Apt:
    """An apt of our own, beside the machine's: it knows all releases, and installs nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._trouble = ""
        for path in ("state/lists/partial", "cache/archives/partial"):
            (directory / path).mkdir(parents=True, exist_ok=True)
        sources = directory / "sources.list"
        wanted = "".join(
            f"deb [signed-by={KEYRING}] {uri} {suite} main\n"
            for archive, uri in archives().items()
            for suite in _SUITES[archive]
        )
        stale = not sources.is_file() or sources.read_text() != wanted
        if stale or time.time() - sources.stat().st_mtime > _INDEX_LASTS:
            sources.write_text(wanted)
            self.update()

    def update(self) -> None:
        """Read the archives' lists. One that fails hides only its own kernels."""
        sources = self._directory / "sources.list"
        try:
            self.run("apt-get", "update", "-q", "--error-on=any")
        except KernelError as error:
            self._trouble = f"; {error}"
            os.utime(sources, (0, 0))  # the next one asks again
        else:
            os.utime(sources)

    def run(self, *argv: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::State": self._directory / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self._directory / "cache",
            "Dir::Etc::sourcelist": self._directory / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return _run(argv[0], *words, *argv[1:], cwd=cwd)

    def newest(self, series: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)*", series):
            raise KernelError(f"{series!r} is no kernel series: name one as in 6.1")
        names = self.run("apt-cache", "pkgnames", f"linux-image-{series}.").split()
        releases = [name.removeprefix("linux-image-") for name in names]
        full = [release for release in releases if re.fullmatch(r"[\d.]+[-+][^-]+-amd64", release)]
        if not full:
            suites = ", ".join(sum(_SUITES.values(), ()))
            raise KernelError(f"kernel {series}: none in {suites}{self._trouble}")
        return max(full, key=version)

    def download(self, release: str, into: Path) -> list[Path]:
        # From 7 on the image is split into linux-binary and linux-modules.
        names = [f"linux-image-{release}"]
        shown = self.run("apt-cache", "show", *names)
        for field in re.findall(r"^Depends: (.*)$", shown, re.MULTILINE):
            names += re.findall(
                rf"linux-(?:binary|modules)-{re.escape(release)}\S*?(?=[ ,]|$)", field
            )
        self.run("apt-get", "download", "-q", *dict.fromkeys(names), cwd=into)
        return sorted(into.glob("*.deb"))


def archives() -> dict[str, str]:
    """The addresses of Debian's two archives, as this machine's apt has them."""
    listed = _run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)",
                  "Created-By: Packages")  # fmt: skip
    found: dict[str, str] = {}
    for line in listed.splitlines():
        release, _, uri = line.partition(" ")
        if release in ("bookworm", "bookworm-security"):
            found["security" if release.endswith("-security") else "debian"] = uri
    if set(found) != set(_SUITES):
        raise KernelError("the apt sources of this machine name no bookworm and bookworm-security")
    return found


def _unpack(apt: _Apt, release: str, directory: Path) -> None:
    directory.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as name:
        work = Path(name)
        for package in apt.download(release, work):
            _run("dpkg-deb", "-x", str(package), str(work / "files"))
            package.unlink()
        (modules,) = (path for path in work.glob("files/**/lib/modules/*") if path.is_dir())
        (compressed,) = [*work.glob("files/boot/vmlinuz-*"), *modules.glob("vmlinuz")][:1]
        made = work / "made"
        made.mkdir()
        (made / "vmlinux").write_bytes(_elf(compressed.read_bytes(), release))
        _prune(modules, release)
        modules.rename(made / "modules")
        made.rename(directory)


def _prune(modules: Path, release: str) -> None:
    for path in [*modules.glob("kernel/**/*.ko*")]:
        if not _MODULES.match(str(path.relative_to(modules / "kernel"))):
            path.unlink()
    for index in ("modules.order", "modules.builtin"):
        (modules / index).touch()
    for link in ("build", "source", "vmlinuz"):
        (modules / link).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "lib/modules").mkdir(parents=True)
        (base / "lib/modules" / release).symlink_to(modules)
        _run("depmod", "-b", str(base), release)


def _elf(image: bytes, release: str) -> bytes:
    """The kernel proper out of a bzImage."""
    for magic, method in _COMPRESSED.items():
        at = image.find(magic)
        while at >= 0:
            with suppress(lzma.LZMAError, zlib.error):
                unpacked = _decompress(method, image[at:])
                if unpacked.startswith(b"\x7fELF"):
                    return unpacked
            at = image.find(magic, at + 1)
    raise KernelError(f"kernel {release}: no ELF image found in its vmlinuz")


def _decompress(method: str, data: bytes) -> bytes:
    if method == "xz":
        return lzma.LZMADecompressor().decompress(data)
    if method == "gzip":
        return zlib.decompressobj(31).decompress(data)
    # What follows the kernel is no zstd: it complains after all is written.
    return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False).stdout


def _run(*argv: str, cwd: Path | None = None) -> str:
    if shutil.which(argv[0]) is None:
        raise KernelError(f"{argv[0]} is not installed: run `./setup.sh vm`")
    try:
        done = subprocess.run(
            argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise KernelError(f"{argv[0]}: not done after {_SECONDS:.0f} s") from None
    if done.returncode:
        raise KernelError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout
