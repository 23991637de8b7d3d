"""What Vagrant says of the Vagrantfile, and shellcheck of the scripts: no machine is started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.vm.rootfs import PACKAGES
from tests.vm.vagrant_lab import VAGRANT, machines

# All that Vagrant asks of VirtualBox before it checks the settings for it.
VBOXMANAGE = "#!/bin/sh\n[ $# = 1 ] && [ $1 = --version ] && echo 7.0.20r163906\n"


def _validate(provider: str, vagrant: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    stand_in = tmp_path / "bin" / "VBoxManage"
    stand_in.parent.mkdir()
    stand_in.write_text(VBOXMANAGE)
    stand_in.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "VAGRANT_DEFAULT_PROVIDER": provider,
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
    }
    return subprocess.run(
        ["vagrant", "validate"], cwd=vagrant, env=environ,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_vagrant_takes_the_file(provider: str, tmp_path: Path) -> None:
    """With the provider's own settings; the box need not be there."""
    done = _validate(provider, VAGRANT, tmp_path)
    assert (done.returncode, done.stdout) == (0, "Vagrantfile validated successfully.\n")


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_vagrant_refuses_a_wrong_setting(provider: str, tmp_path: Path) -> None:
    broken = tmp_path / "vagrant"
    shutil.copytree(VAGRANT, broken, ignore=shutil.ignore_patterns(".vagrant", "keys"))
    file = broken / "Vagrantfile"
    file.write_text(file.read_text().replace(f"{provider}.memory", f"{provider}.memroy"))
    done = _validate(provider, broken, tmp_path)
    assert done.returncode != 0
    assert "memroy" in done.stdout


def test_scripts_are_clean() -> None:
    scripts = [*VAGRANT.glob("provision/*.sh"), *VAGRANT.glob("bin/*")]
    subprocess.run(["shellcheck", *scripts], check=True)
    for script in scripts:
        assert os.access(script, os.X_OK), script
        assert "set -euo pipefail" in script.read_text(), script


def test_every_script_is_used_and_there() -> None:
    described = machines()
    used = {script[0] for machine in described.machines.values() for script in machine.scripts}
    used.add(Path(described.keys).name)
    assert used == {path.name for path in VAGRANT.glob("provision/*")}


def test_cards_and_addresses_are_one_machine_s_alone() -> None:
    links = [link for machine in machines().machines.values() for link in machine.links.values()]
    macs = [link.mac for link in links]
    addresses = [
        setting.partition("/")[0]
        for link in links
        for setting in link.settings
        if " via " not in setting
    ]
    assert len(set(macs)) == len(macs)
    assert len(set(addresses)) == len(addresses)


def test_packages_are_those_of_the_test_machines() -> None:
    """They have no network: what packages.sh would fetch must be in their root file system."""
    asked = {
        package
        for machine in machines().machines.values()
        for script in machine.scripts
        if script[0] == "packages.sh"
        for package in script[1:]
    }
    assert asked <= set(PACKAGES.read_text().splitlines())
