"""What works without the extras, and what says which one it needs."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

EXTRAS = [
    "cyclopts",
    "jinja2",
    "markupsafe",
    "openpyxl",
    "pyarrow",
    "python_calamine",
    "rich",
    "uvloop",
]
JOB = """
import anyio
from async_enroll import EnrollmentClient, Roster
from async_enroll.sandbox import Platform

async def main():
    async with Platform() as platform:
        platform.add_course("course-v1:Org+C1+2026")
        platform.add_user("jane", "jane@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            report = await client.apply(Roster.read("roster.csv"), journal="job.db")
        for suffix in ("csv", "json"):
            getattr(report, f"write_{suffix}")(f"report.{suffix}")
        print(report.ok, platform.is_enrolled("jane", "course-v1:Org+C1+2026"))

anyio.run(main)
"""
FAILING = """
from async_enroll import ConfigurationError, EnrollmentReport, Roster
try:
    {}
except ConfigurationError as error:
    print(error)
"""
COMMAND = "from async_enroll.cli import main; sys.argv[1:] = ['demo']; main()"


def run(
    code: str, *blocked: str, directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process where some modules cannot be imported."""
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
    command = [sys.executable, "-W", "error", "-c", block + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)


def test_a_job_needs_none(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(
        "email,course_id\njane@example.org,course-v1:Org+C1+2026\n"
    )
    done = run(JOB, *EXTRAS, directory=tmp_path)
    assert (done.stdout, done.stderr) == ("True True\n", "")
    assert len(list(tmp_path.glob("report.*"))) == 2


@pytest.mark.parametrize("package", ["cyclopts", "rich", "jinja2"])
def test_the_command_line(package: str) -> None:
    done = run(COMMAND, package)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: the command line needs {package}, which is not installed: "
        'pip install "async_enroll[cli]"\n'
    )


def test_a_module_of_our_own_is_no_extra() -> None:
    done = run(COMMAND, "async_enroll.cli.app")
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of async_enroll.cli.app halted" in done.stderr


@pytest.mark.parametrize(
    ("statement", "package", "words"),
    [
        (
            'EnrollmentReport({}).write_html("report.html")',
            "jinja2",
            'the page needs jinja2: pip install "async_enroll[cli]"',
        ),
        (
            'Roster.read("roster.xlsx")',
            "python_calamine",
            'roster.xlsx: Parquet and Excel need an extra: pip install "async_enroll[files]"',
        ),
        (
            'Roster.read("roster.parquet")',
            "pyarrow",
            'roster.parquet: Parquet and Excel need an extra: pip install "async_enroll[files]"',
        ),
    ],
)
def test_a_function(statement: str, package: str, words: str, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "roster.xlsx", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    (tmp_path / "roster.parquet").write_bytes(b"PAR1")
    done = run(FAILING.format(statement), package, directory=tmp_path)
    assert (done.stdout, done.stderr) == (f"{words}\n", "")
    assert not (tmp_path / "report.html").exists()
