"""The agent's settings: one TOML file, then the environment. Read once, frozen."""

import dataclasses
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from control.errors import SettingsError
from control.links import Attach
from control.sizes import GATEWAYS_MAX, Limits
from control.word import is_key
from policy.prefixes import Address

DEFAULT_FILE = Path("/etc/peergate/agent.toml")
PREFIX = "PEERGATE_AGENT_"
_LIMITS = Limits()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where somebody listens."""

    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent is to do. It follows a registry or a policy file."""

    router: str
    interfaces: tuple[str, ...]
    attach: Attach = "native"
    registry_url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    registry_key: str | None = None
    policy_file: Path | None = None
    state_dir: Path = Path("/var/lib/peergate")
    bpffs: Path = Path("/run/peergate/bpf")
    max_hosts: int = _LIMITS.max_hosts
    max_prefixes: int = _LIMITS.max_prefixes
    max_gateways: int = _LIMITS.max_gateways
    verify_every: float = 60.0
    report_every: float = 30.0
    # No port is open unless it is asked for.
    metrics_listen: Endpoint | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.max_hosts, self.max_prefixes, self.max_gateways)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


def _path(value: object) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _url(value: object) -> str:
    text = _text(value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address, as in https://registry.example.net")
    return text.rstrip("/")


def _key(value: object) -> str:
    text = _text(value)
    if not is_key(text):
        raise ValueError("must be the registry's key, as `peergate api key show` prints it")
    return text


def _interfaces(value: object) -> tuple[str, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ValueError('must be a list of interface names, as in ["eth0"]')
    for name in names:
        if not name or len(name.encode()) > 15 or "/" in name or name.split() != [name]:
            raise ValueError(f"{name!r} is no interface name")
    return tuple(dict.fromkeys(names))


def _attach(value: object) -> Attach:
    if value == "native":
        return "native"
    if value == "generic":
        return "generic"
    raise ValueError("must be native or generic")


def _entries(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 1 <= number <= 2**24:
        raise ValueError("must be a number from 1 to 16777216")
    return number


def _gateways(value: object) -> int:
    number = _entries(value)
    if number > GATEWAYS_MAX:
        raise ValueError(f"must be a number from 1 to {GATEWAYS_MAX}")
    return number


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400 or isinstance(value, bool):
        raise ValueError("must be a number of seconds from 0.1 to 86400")
    return seconds


def _endpoint(value: object) -> Endpoint:
    """A port alone is one of loopback."""
    host, _, port = str(value).rpartition(":")
    try:
        if isinstance(value, str | int) and port.isdecimal() and 0 < int(port) < 65536:
            address = host.removeprefix("[").removesuffix("]") if host else "127.0.0.1"
            return Endpoint(ip_address(address), int(port))
    except ValueError:
        pass
    raise ValueError('must be a port, which is loopback\'s, or as in "192.0.2.1:9470"')


def _router(value: object) -> str:
    name = _text(value)
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 63 letters, digits, dots, dashes or underscores")
    return name


_READERS: dict[str, Callable[[object], object]] = {
    "router": _router,
    "interfaces": _interfaces,
    "attach": _attach,
    "registry_url": _url,
    "token_file": _path,
    "ca_file": _path,
    "registry_key": _key,
    "policy_file": _path,
    "state_dir": _path,
    "bpffs": _path,
    "max_hosts": _entries,
    "max_prefixes": _entries,
    "max_gateways": _gateways,
    "verify_every": _seconds,
    "report_every": _seconds,
    "metrics_listen": _endpoint,
}
assert set(_READERS) == {field.name for field in dataclasses.fields(Settings)}


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file (the default one may be missing), under those of the environment.

    Raises SettingsError in one line: where, which key, what is wrong.
    """
    file = DEFAULT_FILE if path is None else path
    read: dict[str, Any] = {}
    for key, value in _file(file, must_exist=path is not None).items():
        read[key] = _value(key, value, f"{file}: {key}", str(file))
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            read[key] = _value(key, text, name, "the environment")
    if "interfaces" not in read:
        raise SettingsError(f'{file}: interfaces is missing: name the uplinks, as in ["eth0"]')
    if "registry_url" in read and "policy_file" in read:
        raise SettingsError(f"{file}: registry_url and policy_file: an agent follows one of them")
    if "router" not in read:
        read["router"] = _value("router", socket.gethostname(), "host name", str(file))
    return Settings(**read)


def _file(path: Path, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"{path}: there is no such file") from None
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None


def _value(key: str, value: object, where: str, source: str) -> object:
    reader = _READERS.get(key)
    if reader is None:
        near = get_close_matches(key, _READERS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_READERS)}"
        raise SettingsError(f"{source}: unknown key {key}: {mend}")
    try:
        return reader(value)
    except ValueError as error:
        raise SettingsError(f"{where}: {value!r}: {error}") from None
