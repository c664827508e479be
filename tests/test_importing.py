"""Who imports the package loads what they use of it, and nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import async_enroll

NOT_FOR_CALLS = {
    "async_enroll.cli",
    "async_enroll.journal",
    "async_enroll.reports.html",
    "async_enroll.pytest_plugin",
    "async_enroll.sandbox",
    "cyclopts",
    "filelock",
    "jinja2",
    "pyarrow",
    "pytest",
    "redis",
    "python_calamine",
    "rich",
    "sqlite3",
}


def loaded_by(statement: str) -> set[str]:
    """The modules that there are after a statement, in a process where warnings are errors."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_the_package_alone_loads_nothing_but_itself() -> None:
    loaded = loaded_by("import async_enroll")
    assert {name for name in loaded if name.startswith("async_enroll")} == {"async_enroll"}
    assert not loaded & {"aiohttp", "anyio", "attrs", *NOT_FOR_CALLS}


def test_the_client_loads_what_calls_need() -> None:
    assert not loaded_by("from async_enroll import EnrollmentClient") & NOT_FOR_CALLS


def test_all_names_are_here_for_people_and_for_type_checkers() -> None:
    tree = ast.parse(Path(async_enroll.__file__).read_text("utf-8"))
    for_type_checkers = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and f"{node.module}".startswith("async_enroll.")
        for alias in node.names
    }
    assert sorted(for_type_checkers) == sorted(async_enroll.__all__)
    assert set(async_enroll.__all__) <= set(dir(async_enroll))
    for name, module in for_type_checkers.items():
        assert getattr(async_enroll, name) is getattr(sys.modules[f"{module}"], name)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="'async_enroll' has no attribute 'Nobody'"):
        _ = async_enroll.Nobody  # type: ignore[attr-defined]
