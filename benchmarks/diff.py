"""What comparing a roster with who is enrolled costs, beside the listing and the identifiers."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from attrs import frozen

from async_enroll import Action, Enrollment, EnrollmentClient
from async_enroll.planning.comparison import CourseComparison
from async_enroll.planning.desired import Desired
from async_enroll.planning.protection import Protection
from async_enroll.roster import Roster
from benchmarks.processes import alone, peak, serving
from benchmarks.tables import Bar, Table

PAIRS = 1_000_000
LEARNERS = 200_000
COURSE = "course-v1:Org+C0000+2026"

SECONDS = Bar(most=3)
BYTES = Bar(most=250)
RATIO = Bar(most=2)

_CHUNK = 500


@frozen
class Cost:
    """Seconds, and bytes of memory at the peak beyond what was there before."""

    seconds: float
    bytes: int


def roster(count: int, *, missing: int) -> Roster:
    """A list of so many learners, half of them by address; the first `missing` are not in it."""
    desired = Desired()
    for number in range(missing, count + missing):
        who = f"Learner{number:06}@Example.org" if number % 2 else f"learner{number:06}"
        desired.add(who, COURSE, Action.ENROLL)
    return Roster("benchmark", desired)


async def compared(pairs: int, missing: int) -> Cost:
    """The comparison alone, of records that are there already."""
    desired = roster(pairs, missing=missing).desired
    names = [f"learner{number:06}" for number in range(pairs)]
    records = [
        Enrollment(name, f"{name}@example.org", COURSE, True, "audit", None) for name in names
    ]
    before, since = peak(), time.process_time()
    course = CourseComparison(COURSE)
    (assignment,) = desired.assignments
    course.add(assignment, [identifier for identifier, _ in desired.learners()])
    for start in range(0, pairs, _CHUNK):
        course.feed(records[start : start + _CHUNK])
    course.resolve({})
    result = course.result(Protection.of("staff", [], []))
    took = time.process_time() - since
    if len(result.to_unenroll) != missing or len(result.to_enroll) != missing:
        raise RuntimeError("the comparison is wrong")
    return Cost(took, peak() - before)


async def listed(url: str, learners: int) -> Cost:
    """The listing of the course alone."""
    async with EnrollmentClient(url, "token") as client:
        before, since = peak(), time.perf_counter()
        count = len([None async for _ in client.enrollments(course_id=COURSE)])
        cost = Cost(time.perf_counter() - since, peak() - before)
    if count != learners:
        raise RuntimeError("records were lost")
    return cost


async def diffed(url: str, learners: int) -> Cost:
    """A diff of the course against a list as long."""
    wanted = roster(learners, missing=0)
    async with EnrollmentClient(url, "token") as client:
        before, since = peak(), time.perf_counter()
        found = await client.diff(wanted, remove=True)
        cost = Cost(time.perf_counter() - since, peak() - before)
    if found.unchanged != learners:
        raise RuntimeError("the diff is wrong")
    return cost


async def quickest(work: Callable[[str, int], Awaitable[Cost]], url: str, learners: int) -> Cost:
    """The quickest of three: one alone takes up to twice as long where others use the machine."""
    return min([await alone(work, url, learners) for _ in range(3)], key=lambda cost: cost.seconds)


SHORT = {"pairs": 1_000, "learners": 1_000}


async def run(pairs: int = PAIRS, learners: int = LEARNERS) -> AsyncIterator[Table]:
    """The tables."""
    table = Table(
        f"{pairs:,} enrolled against {pairs:,} wanted, beyond the listing",
        ("differ", "µs a pair", "bar", "bytes a pair", "bar"),
    )
    for missing in (0, pairs // 100, pairs // 10):
        cost = await alone(compared, pairs, missing)
        seconds, size = cost.seconds / pairs * 1e6, cost.bytes / pairs
        table.add(
            f"{missing:,}",
            f"{seconds:.2f}",
            SECONDS.judge(seconds),
            f"{size:.0f}",
            BYTES.judge(size),
        )
    yield table
    async with serving("benchmarks.echo", learners, 1) as server:
        listing = await quickest(listed, server.greeting, learners)
        diff = await quickest(diffed, server.greeting, learners)
    identifiers = 2 * learners * sys.getsizeof("learner000000@example.org")
    table = Table(
        f"A course of {learners:,} against a list as long, on MOOCit",
        ("", "seconds", "times the listing", "bar", "MiB at the peak"),
    )
    table.add("listing", f"{listing.seconds:.2f}", "1.00", "", f"{listing.bytes / 2**20:.1f}")
    ratio = diff.seconds / listing.seconds
    table.add(
        "diff",
        f"{diff.seconds:.2f}",
        f"{ratio:.2f}",
        RATIO.judge(ratio),
        f"{diff.bytes / 2**20:.1f}",
    )
    table.add("the two lists of identifiers", "", "", "", f"{identifiers / 2**20:.1f}")
    yield table
