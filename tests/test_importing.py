"""Who imports the package loads what they use of it, and nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from anyio import to_thread

import async_enroll
from async_enroll.sandbox import Platform

NOT_FOR_CALLS = {
    "async_enroll.cli",
    "async_enroll.http.client_credentials",
    "async_enroll.http.token_answer",
    "async_enroll.jobs.diff",
    "async_enroll.jobs.enrolled",
    "async_enroll.jobs.sync",
    "async_enroll.jobs.undo",
    "async_enroll.jobs.verify",
    "async_enroll.journal",
    "async_enroll.pacing.shared",
    "async_enroll.planning.comparison",
    "async_enroll.planning.diff",
    "async_enroll.planning.inverse",
    "async_enroll.planning.plan",
    "async_enroll.planning.sync",
    "async_enroll.reports.html",
    "async_enroll.roster",
    "async_enroll.pytest_plugin",
    "async_enroll.sandbox",
    "cattrs",
    "cyclopts",
    "filelock",
    "fractions",
    "jinja2",
    "pyarrow",
    "pytest",
    "redis",
    "python_calamine",
    "rich",
    "sqlite3",
}
CALL = """
import anyio
from async_enroll import EnrollmentClient

async def main():
    async with EnrollmentClient("{url}", "{token}") as client:
        report = await client.bulk_enroll(["jane"], ["course-v1:Org+C1+2026"])
    assert report.ok

anyio.run(main)
"""


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
    loaded = loaded_by("from async_enroll import EnrollmentClient")
    assert not loaded & {*NOT_FOR_CALLS, "async_enroll.reports", "csv"}


async def test_a_first_call_loads_nothing_else_but_its_report() -> None:
    async with Platform() as platform:
        platform.add_course("course-v1:Org+C1+2026")
        platform.add_user("jane", "jane@example.org")
        code = CALL.format(url=platform.url, token=platform.token)
        loaded = await to_thread.run_sync(loaded_by, code)
    assert not loaded & NOT_FOR_CALLS
    assert "async_enroll.reports.report" in loaded


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
