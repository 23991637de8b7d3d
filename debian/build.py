"""Builds the Debian package from this checkout, as any user: python debian/build.py [DIRECTORY].

The Python that runs this fetches the Python packages with its pip: `make deb` takes .venv's.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHIPPED = ("api", "bpf", "cli", "control", "policy", "debian", "deploy", "docs")
FILES = ("pyproject.toml", "requirements.lock", "debian-packages.txt", "README.md", "LICENSE")

CHANGELOG = """\
peergate ({version}) stable; urgency=medium

  * Version {version}. Its history is in the repository.

 -- peergate <peergate@example.net>  {date}
"""


def build(where: Path) -> Path:
    """The package, in `where`. Only what ships is copied, and built beside the checkout's files."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    tree = ROOT / "build" / "deb" / f"peergate-{project['version']}"
    shutil.rmtree(tree.parent, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in SHIPPED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, tree / name)
    (tree / "debian/changelog").write_text(
        CHANGELOG.format(version=project["version"], date=_date())
    )
    (tree / "debian/python-packages.txt").write_text("\n".join(project["dependencies"]) + "\n")
    (tree / "debian/rules").chmod(0o755)
    environ = {**os.environ, "PYTHON": sys.executable, "DH_QUIET": "1"}
    subprocess.run(
        ["dpkg-buildpackage", "-b", "-us", "-uc", "-nc"], cwd=tree, env=environ, check=True
    )
    (built,) = tree.parent.glob("*.deb")
    where.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(built, where / built.name))


def _date() -> str:
    """When this version was committed, which makes a build the same again."""
    told = subprocess.run(
        ["git", "log", "-1", "--format=%cD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "Thu, 01 Jan 1970 00:00:00 +0000"


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"))
