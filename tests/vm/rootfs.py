"""A Debian with systemd as the image of a root file system, in the cache.

It has the packages of the groups run and guest of debian-packages.txt, from the archives that
this machine's own apt sources name. It is never written: a machine's changes go elsewhere.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.vm.kernels import KEYRING, KernelError, archives, cache_dir, locked

PACKAGES = Path(__file__).parents[2] / "debian-packages.txt"
_GROUPS = ("run", "guest")
_RELEASE = "bookworm"
_SECONDS = 1800.0

# What would only cost time in an emulated machine that lives for minutes.
_NOT_STARTED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("fstrim.timer", "e2scrub_reap.service", "getty@tty1.service", "serial-getty@ttyS0.service"),
    *("strongswan.service", "openvpn.service", "systemd-pstore.service"),
)
_HOOK = f"""
set -e
systemctl --root="$1" disable -q {" ".join(_NOT_STARTED)} 2>/dev/null || true
systemctl --root="$1" mask -q serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer
rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/*
: >"$1"/etc/machine-id
: >"$1"/etc/resolv.conf
"""


def root_image() -> Path:
    """The image (ext4), made if it is not in the cache. Raises KernelError."""
    packages = sorted(_packages())
    key = hashlib.sha256(repr((packages, _release(), _HOOK)).encode()).hexdigest()[:16]
    image = cache_dir() / "rootfs" / f"{key}.ext4"
    with locked("rootfs"):
        if not image.is_file():
            began = time.monotonic()
            _make(image, packages)
            took = time.monotonic() - began
            print(f"root file system {image.name}: made in {took:.0f} s", file=sys.stderr)
    return image


def _packages() -> Iterator[str]:
    group = None
    for line in PACKAGES.read_text().splitlines():
        if line.startswith("["):
            group = line.strip("[]")
        elif line and not line.startswith("#") and group in _GROUPS:
            yield line


def _release() -> str:
    """Which state of Debian this machine follows: a point release makes another image."""
    return platform.freedesktop_os_release().get("VERSION_ID", "") + _debian_version()


def _debian_version() -> str:
    return Path("/etc/debian_version").read_text().strip()


def _make(image: Path, packages: list[str]) -> None:
    if os.geteuid() != 0:
        raise KernelError("a root file system has files of root: run as root")
    image.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".new-") as name:
        work, files = Path(name), Path(name) / "files"
        suites = {"debian": _RELEASE, "security": f"{_RELEASE}-security"}
        sources = "".join(
            f"deb [signed-by={KEYRING}] {uri} {suites[archive]} main\n"
            for archive, uri in archives().items()
        )
        (work / "sources.list").write_text(sources)
        (work / "hook").write_text(f"#!/bin/sh\n{_HOOK}")
        (work / "hook").chmod(0o755)
        _run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *(f"--include={','.join(packages)}", f"--customize-hook={work}/hook"),
            *(_RELEASE, str(files), str(work / "sources.list")),
        )
        size = sum(path.lstat().st_size for path in files.rglob("*") if not path.is_symlink())
        fresh = work / "image"
        with fresh.open("wb") as file:
            file.truncate(size * 5 // 4 + (64 << 20))
        _run(
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(files)),
            str(fresh),
        )
        for other in image.parent.glob("*.ext4"):
            other.unlink()
        fresh.rename(image)


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_SECONDS
        )  # fmt: skip
    except FileNotFoundError:
        raise KernelError(f"{argv[0]} is not installed: run `./setup.sh vm`") from None
    except subprocess.TimeoutExpired:
        raise KernelError(f"{argv[0]}: not done after {_SECONDS:.0f} s") from None
    if done.returncode:
        raise KernelError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
