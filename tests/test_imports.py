"""Who may import whom: the rules of docs/architecture.md, read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "bench", "cli", "control", "lab", "policy")
# Below the routes nothing knows HTTP.
HTTP = {"fastapi", "httpcore", "httpx", "starlette", "uvicorn"}
HTTP_PARTS = {
    f"api/{name}.py"
    for name in (
        *(
            "app",
            "auth",
            "background",
            "door",
            "limits",
            "metrics",
            "oidc",
            "oidc_sign_in",
            "ongoing",
        ),
        *("openapi",),
        *("origin", "outbound", "problems", "protocol", "serve", "session_cookie"),
    )
}


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def sources(*packages: str) -> Iterator[tuple[str, set[str]]]:
    """Each file of the packages, named from the root, with the top-level names it imports."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("api", {"bench", "control", "cli", "lab", "bcc", "pyroute2"}),
        ("control", {"api", "bench", "cli", "lab"}),
        ("policy", {"api", "bench", "control", "cli", "lab"}),
        ("cli", {"bench", "lab", "bcc", "pyroute2"}),
        ("lab", {"api", "bcc", "bench"}),
    ],
)
def test_packages_keep_apart(package: str, never: set[str]) -> None:
    found = {name: bad for name, names in sources(package) if (bad := names & never)}
    assert found == {}


@pytest.mark.parametrize(
    ("module", "only"),
    [
        ("bcc", {"control/program.py"}),
        ("pyroute2", {"control/links.py", "control/devices.py"}),
    ],
)
def test_one_module_alone_imports(module: str, only: set[str]) -> None:
    found = {name for name, names in sources("api", "cli", "control", "policy") if module in names}
    assert found == only


def test_sql_stands_in_the_store_alone() -> None:
    found = {name for name, names in sources("api") if names & {"psycopg", "sqlalchemy"}}
    outside = {name for name in found if not name.startswith(("api/store", "api/migrations/"))}
    assert found
    assert outside == set()


def test_http_stands_in_the_routes_alone() -> None:
    found = {name for name, names in sources("api") if names & HTTP}
    outside = {name for name in found - HTTP_PARTS if not name.startswith("api/routes/")}
    assert found
    assert outside == set()


@pytest.mark.parametrize("name", ["control/plan.py", "control/resolve.py", "control/model.py"])
def test_planning_does_no_io(name: str) -> None:
    doing_io = {"asyncio", "httpx", "io", "os", "pathlib", "socket", "subprocess", "tempfile"}
    names = imported(ROOT / name)
    assert {each.split(".")[0] for each in names} & doing_io == set()
    assert names & {"control.dataplane", "control.links"} == set()
    called = {
        node.func.id
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"open", "print", "input"} == set()


def test_every_package_was_looked_at() -> None:
    assert {name.split("/")[0] for name, _ in sources(*PACKAGES)} == set(PACKAGES)
