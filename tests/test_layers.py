"""The floors of the house: a module imports only from those below its own."""

import ast
from pathlib import Path

import pytest

import async_enroll

FLOORS = [
    ["pytest_plugin"],
    ["cli", "sandbox"],
    ["client"],
    ["jobs"],
    ["runner", "journal", "sources"],
    ["pursuit", "plan"],
    ["dispatch", "vetting", "settling"],
    ["patience"],
    ["report", "outcomes", "queries"],
    ["page"],
    ["summary", "timeline", "writing"],
    ["parcel", "background", "intake", "chronicle"],
    ["events"],
    ["api", "reading", "client_credentials"],
    ["reporting", "core"],
    ["accounts"],
    ["renewal"],
    ["verdict", "slots"],
    ["transport", "throttle"],
    ["auth", "roster", "batching", "listing", "filters", "paging"],
    ["congestion", "hold", "pace", "sizing", "window", "proxy"],
    ["wire", "wanted", "packing", "fates"],
    ["models", "files", "identity", "unpacking", "site"],
    ["errors", "cancellation"],
]
HOUSE = Path(async_enroll.__file__).parent
FLOOR_OF = {module: number for number, floor in enumerate(FLOORS) for module in floor}


def imported(path: Path) -> set[str]:
    """The modules of the house that a file imports when it runs."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return {
        name.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [f"{node.module}"]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if name.startswith("async_enroll.")
    }


def test_every_module_has_its_floor() -> None:
    modules = {path.stem for path in HOUSE.glob("[!_]*") if path.suffix == ".py" or path.is_dir()}
    assert modules - {"py"} == set(FLOOR_OF)


@pytest.mark.parametrize("module", sorted(set(FLOOR_OF) - {"cli", "sandbox"}))
def test_a_module_imports_only_from_below(module: str) -> None:
    package = HOUSE / module
    for path in package.rglob("*.py") if package.is_dir() else [HOUSE / f"{module}.py"]:
        for other in imported(path) - {module}:
            assert FLOOR_OF[other] > FLOOR_OF[module], f"{path.name} imports {other}"


def test_the_sandbox_shares_nothing_with_the_client_but_the_vocabulary() -> None:
    for path in (HOUSE / "sandbox").rglob("*.py"):
        assert imported(path) <= {"sandbox", "models", "errors", "wire"}, path.name


def test_only_the_command_line_prints_or_reads_the_environment() -> None:
    for path in HOUSE.rglob("*.py"):
        if "cli" not in path.parts:
            names = {
                ast.unparse(node.func)
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call)
            }
            assert not names & {"print", "os.getenv", "os.environ.get"}, path.name
