"""What the benchmarks rest on: their servers, the limit, and how figures are shown."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from async_enroll import EnrollmentClient, Outcome, RequestWindow
from async_enroll.models import NOBODY, Action, Batch
from async_enroll.platform.json import bulk_answer, bulk_body
from benchmarks import echo
from benchmarks.__main__ import BENCHMARKS
from benchmarks.picture import Curve, draw
from benchmarks.processes import alone, peak, serving
from benchmarks.site import Setting, visited
from benchmarks.tables import Bar, Table

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"


def test_the_fast_server_answers_as_the_platform_does() -> None:
    batch = Batch(Action.ENROLL, (C1, C2), ("jane@example.org", NOBODY))
    body = bulk_body(batch, auto_enroll=True, email_students=False)
    answer = bulk_answer(echo.bulk_answer(body))
    assert list(answer.courses) == [C1, C2]
    for course in answer.courses.values():
        jane, nobody = course.results
        assert jane.identifier == "jane@example.org"
        assert jane.before
        assert not jane.before.enrollment
        assert jane.after
        assert jane.after.enrollment
        assert nobody.invalid_identifier


async def test_the_fast_server_serves_a_client() -> None:
    learners = [f"learner{number}@example.org" for number in range(1_000)]
    async with (
        serving("benchmarks.echo", 3_000) as server,
        EnrollmentClient(server.greeting, "token") as client,
    ):
        report = await client.bulk_enroll(learners, [C1, C2])
        listed = [record.username async for record in client.enrollments()]
    assert report.counts == {Outcome.ENROLLED: 2_000}
    assert len(set(listed)) == 3_000


async def test_a_site_tells_what_became_of_its_visitors() -> None:
    setting = Setting(RequestWindow(2, 0.5), learners=5, seconds_per_call=0)
    async with visited(setting) as site, EnrollmentClient(site.url, site.token) as client:
        await client.bulk_enroll(site.learners[:3], [site.course])
    assert site.enrolled == ["learner000001", "learner000002", "learner000003"]
    assert {call.status for call in site.calls} == {200}


@pytest.mark.parametrize(
    ("learners", "seconds"), [(1, 0.5), (8, 0.5), (9, 1.0), (10, 1.0), (11, 6.5), (30, 13.0)]
)
def test_the_limit_is_all_windows_but_the_last_and_its_calls(learners: int, seconds: float) -> None:
    assert Setting(RequestWindow(10, 6), learners, 0.5).limit(in_flight=8) == seconds


def test_a_table_in_markdown() -> None:
    table = Table("Some figures", ("client", "seconds"))
    table.add("ours", "1.00")
    assert table.in_markdown() == (
        "**Some figures**\n\n| client | seconds |\n| --- | ---: |\n| ours | 1.00 |\n"
    )


def test_a_bar_tells_whether_it_is_met() -> None:
    assert Bar(most=4).judge(4.0) == "at most 4: met"
    assert Bar(most=4).judge(4.1) == "at most 4: NOT MET"
    assert Bar(least=0.5).judge(0.5) == "at least 0.5: met"
    assert Bar(least=0.5).judge(0.4) == "at least 0.5: NOT MET"


def test_a_picture_is_well_formed_and_escapes_names() -> None:
    curves = [Curve("a < b", "3 done", [0.0, 1.0, 2.0]), Curve("c & d", "1 done", [0.5])]
    picture = draw("some", curves, RequestWindow(2, 1), 3)
    texts = [text.strip() for text in ElementTree.fromstring(picture.svg).itertext()]
    assert {"a < b", "c & d"} <= set(texts)


async def _peak_with(size: int) -> int:
    before = peak()
    block = bytearray(size)
    return peak() - before if block else 0


async def test_memory_is_measured_in_a_process_of_its_own() -> None:
    ballast = bytearray(100 * 2**20)
    assert await alone(_peak_with, 50 * 2**20) >= 50 * 2**20 * 0.9
    assert len(ballast) == 100 * 2**20


PROJECT = Path(__file__).parent.parent
NOT_INSTALLED = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name in {} else find(name, *more)
"""


def installed_with(requirements: Iterable[str]) -> set[str]:
    """The distributions that pip installs for these, with all that they need."""
    found: set[str] = set()
    extras: set[tuple[str, str]] = set()
    left = [Requirement(one) for one in requirements]
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        wanted = {(name, extra) for extra in {"", *one.extras}} - extras
        extras |= wanted
        found.add(name)
        for _, extra in wanted:
            needed = [Requirement(line) for line in requires(name) or ()]
            left += [
                each for each in needed if not each.marker or each.marker.evaluate({"extra": extra})
            ]
    return found


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment where Python has only what `nox -s benchmarks` installs."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    there = installed_with(["async_enroll[cli]", *groups["benchmarks"]])
    missing = sorted(
        module
        for module, distributions in packages_distributions().items()
        if not there & {canonicalize_name(each) for each in distributions}
    )
    assert "hypothesis" in missing
    assert not {"orjson", "pytest", "cyclopts"} & set(missing)
    directory = tmp_path_factory.mktemp("newcomer")
    (directory / "sitecustomize.py").write_text(NOT_INSTALLED.format(missing))
    return {**os.environ, "PYTHONPATH": str(directory)}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_where_only_its_own_group_is_installed(
    name: str, newcomer: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "new" / "results"
    command = [sys.executable, "-m", "benchmarks", name, "--short", "--output", str(output)]
    done = subprocess.run(
        command, cwd=PROJECT, env=newcomer, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| ---" in (output / f"{name}.md").read_text("utf-8")
