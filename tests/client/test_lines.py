"""The line of a roster's file that asked for a pair, in its result."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from async_enroll import BatchLimits, EnrollmentClient, EnrollmentResult, Roster
from async_enroll.sandbox import Fault, Faults, Platform
from tests.waiting import until

C0, C1 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(2)]


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform(window=None, faults=Faults.schedule({3: Fault.STALL})) as platform:
        for course_id in COURSES:
            platform.add_course(course_id)
        yield platform


def file(folder: Path, people: int) -> Path:
    """A roster of learners named after their lines. Its last two: nobody, and a repeat."""
    rows = [f"line{line}@example.org,{COURSES[line % 2]}" for line in range(2, 2 + people)]
    rows += [f"line{people + 2},{C0}", f"LINE3@example.org,{C1}"]
    path = folder / "roster.csv"
    path.write_text("\n".join(["identifier,course_id", *rows, ""]))
    return path


def told(results: list[EnrollmentResult]) -> set[int]:
    lines = set()
    for result in results:
        number = int(result.identifier.partition("@")[0].removeprefix("line"))
        assert result.line == number
        lines.add(number)
    return lines


@pytest.mark.parametrize("with_journal", [False, True])
async def test_results_name_the_line(
    platform: Platform, tmp_path: Path, *, with_journal: bool
) -> None:
    roster = Roster.read(file(tmp_path, 40))
    journal = tmp_path / "job.db" if with_journal else None
    async with EnrollmentClient(
        platform.url, platform.token, batch=BatchLimits(identifiers=7), timeout=1, settle=0.5
    ) as client:
        report = await client.apply(roster, journal=journal)
        streamed = [result async for result in client.stream(roster)]
        again = await client.apply(roster, journal=journal)
    for results in (list(report.results), streamed, list(again.results)):
        assert told(results) == {*range(2, 43)}
    assert {failed.line for failed in report.failures} == {42}


async def test_a_job_that_is_cut_off_names_lines_too(platform: Platform, tmp_path: Path) -> None:
    roster = Roster.read(file(tmp_path, 40))
    async with EnrollmentClient(
        platform.url, platform.token, batch=BatchLimits(identifiers=7), concurrency=1
    ) as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def cancel() -> None:
                    await until(lambda: platform.audit)
                    scope.cancel()

                tasks.start_soon(cancel)
                try:
                    await client.apply(roster)
                except BaseException as error:
                    results = list(error.report.results)  # type: ignore[attr-defined]
                    raise
    assert told(results)  # whether or not a call was in flight just then


async def test_entries_of_a_program_stand_in_no_line(platform: Platform, tmp_path: Path) -> None:
    async with EnrollmentClient(platform.url, platform.token) as client:
        report = await client.apply(list(Roster.read(file(tmp_path, 3))))
    assert {result.line for result in report} == {None}
