"""Settings: the file, the environment over it, and every mistake in one line."""

from pathlib import Path

import pytest

from control.errors import SettingsError
from control.settings import load_settings
from control.sizes import Limits


def write(path: Path, text: str) -> Path:
    (path / "agent.toml").write_text(text)
    return path / "agent.toml"


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, 'interfaces = ["eth0"]\nrouter = "edge-1"'), {})
    assert settings.interfaces == ("eth0",)
    assert settings.attach == "native"
    assert settings.bpffs == Path("/run/peergate/bpf")
    assert settings.limits == Limits()
    assert settings.registry_url is None
    assert settings.metrics_listen is None


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'router = "edge-1"\ninterfaces = ["eth0"]\nattach = "native"\nmax_hosts = 10\n',
    )
    settings = load_settings(
        file,
        {
            "PEERGATE_AGENT_INTERFACES": "eth1, eth2",
            "PEERGATE_AGENT_ATTACH": "generic",
            "PEERGATE_AGENT_MAX_HOSTS": "20",
            "PEERGATE_AGENT_VERIFY_EVERY": "2.5",
            "PEERGATE_AGENT_REGISTRY_URL": "https://registry.example.net/",
            "PEERGATE_TOKEN": "not ours",
        },
    )
    assert settings.interfaces == ("eth1", "eth2")
    assert (settings.attach, settings.max_hosts, settings.verify_every) == ("generic", 20, 2.5)
    assert settings.registry_url == "https://registry.example.net"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interfaces = 3", r"interfaces: 3: must be a list of interface names"),
        ("interfaces = []", r"must be a list of interface names"),
        ('interfaces = ["a-name-too-long-for-linux"]', r"is no interface name"),
        ('interfaces = ["eth0"]\nattach = "offload"', r"attach: 'offload': must be native or"),
        ('interfaces = ["eth0"]\nattahc = "native"', r"unknown key attahc: did you mean attach\?"),
        (
            'interfaces = ["eth0"]\nregistry_url = "https://r.example.net"\npolicy_file = "/p"',
            r"registry_url and policy_file: an agent follows one of them",
        ),
        (
            'interfaces = ["eth0"]\nmetrics_listen = "localhost:9470"',
            r"metrics_listen: 'localhost:9470': must be a port, which is loopback's",
        ),
        ('interfaces = ["eth0"]\nmetrics_listen = 65536', r"65536: must be a port"),
        ('interfaces = ["eth0"]\nmetrics_listen = true', r"True: must be a port"),
        ('interfaces = ["eth0"]\nzzz = 1', r"unknown key zzz: there are: router, interfaces"),
        ('interfaces = ["eth0"]\nmax_hosts = 0', r"max_hosts: 0: must be a number from 1"),
        ('interfaces = ["eth0"]\nmax_hosts = true', r"max_hosts: True: must be a number"),
        ('interfaces = ["eth0"]\nverify_every = "soon"', r"verify_every: 'soon': must be a number"),
        ('interfaces = ["eth0"]\nverify_every = 0', r"from 0.1 to 86400"),
        ('interfaces = ["eth0"]\nstate_dir = "here"', r"must be an absolute path"),
        ('interfaces = ["eth0"]\nregistry_url = "registry"', r"must be an http or https address"),
        ('interfaces = ["eth0"]\nrouter = "edge 1"', r"router: 'edge 1': must be 1 to 63 letters"),
        ('router = "edge-1"', r"interfaces is missing"),
        ("interfaces = [", r"is not TOML"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        load_settings(write(tmp_path, text), {})
    assert "\n" not in refused.value.message
    assert "agent.toml" in refused.value.message


def test_mistakes_in_the_environment_name_the_variable(tmp_path: Path) -> None:
    file = write(tmp_path, 'interfaces = ["eth0"]\nrouter = "edge-1"')
    with pytest.raises(SettingsError, match="PEERGATE_AGENT_ATTACH: 'x': must be native"):
        load_settings(file, {"PEERGATE_AGENT_ATTACH": "x"})
    with pytest.raises(SettingsError, match="unknown key max_host: did you mean max_hosts"):
        load_settings(file, {"PEERGATE_AGENT_MAX_HOST": "1"})


def test_a_file_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing.toml: there is no such file"):
        load_settings(tmp_path / "missing.toml", {})
