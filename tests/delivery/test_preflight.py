"""Which courses and cohorts are good, in few calls, nobody touched."""

import math
from collections.abc import Iterable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import BatchLimits, PlatformError
from async_enroll.delivery.preflight import GoodPlaces, Preflight
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import NOBODY, Batch
from async_enroll.planning.batching import Place, places
from async_enroll.platform.json import BulkAnswer
from tests.waiting import run, simulated

COURSES = [f"course-v1:Org+C{number}+2026" for number in range(100)]


class Site:
    """Refuses what is bad in the way it is bad; counts its calls."""

    def __init__(self, bad: dict[Place, FailureKind], *, names: bool = False) -> None:
        self.bad = bad
        self.calls: list[Batch] = []
        self._names = names

    async def call(self, batch: Batch) -> BulkAnswer | Failure:
        self.calls.append(batch)
        assert batch.identifiers == (NOBODY,)
        assert len(set(batch.courses)) == len(batch.courses)
        for place in places(batch):
            if place in self.bad:
                kind = self.bad[place]
                named = kind is FailureKind.REFUSED and self._names
                words = f"Course key not valid: {place.course_id}" if named else "no"
                return Failure(kind, PlatformError(words, status=0))
        return BulkAnswer({})


async def checked(site: Site, asked: Iterable[Place], pairs: int = 500) -> Preflight:
    preflight = Preflight(site.call, BatchLimits(pairs=pairs), GoodPlaces())
    await preflight.check(list(asked))
    return preflight


kinds = st.sampled_from([FailureKind.MISSING, FailureKind.REFUSED, FailureKind.UNDONE])
some_places = st.builds(
    Place, st.sampled_from(COURSES[:12]), st.sampled_from([None, "red", "blue"])
)


@given(
    st.lists(some_places, max_size=20),
    st.dictionaries(some_places, kinds, max_size=5),
    st.integers(1, 7),
    st.booleans(),
)
def test_the_bad_places_are_found_and_no_others(
    asked: list[Place], bad: dict[Place, FailureKind], pairs: int, names: bool
) -> None:
    preflight = run(checked(Site(bad, names=names), asked, pairs))
    # A refusal that names a course condemns all its cohorts of that call, and no other course.
    assert {place for place in asked if place in bad} <= set(preflight.bad)
    if not names:
        assert set(preflight.bad) == {place for place in asked if place in bad}


@pytest.mark.parametrize("kind", [FailureKind.MISSING, FailureKind.UNDONE])
async def test_one_bad_course_among_a_hundred_costs_few_calls(kind: FailureKind) -> None:
    site = Site({Place(COURSES[37], None): kind})
    preflight = await checked(site, [Place(course_id, None) for course_id in COURSES])
    assert list(preflight.bad) == [Place(COURSES[37], None)]
    assert len(site.calls) <= 2 * math.ceil(math.log2(100)) + 3


async def test_a_course_that_is_named_costs_one_call_more() -> None:
    site = Site({Place(COURSES[37], None): FailureKind.REFUSED}, names=True)
    await checked(site, [Place(course_id, None) for course_id in COURSES])
    assert len(site.calls) == 2


async def test_many_courses_that_are_named_cost_one_call_each() -> None:
    asked = [Place(f"course-v1:Org+C{number}+2026", None) for number in range(1200)]
    site = Site(dict.fromkeys(asked[:1100], FailureKind.REFUSED), names=True)
    preflight = await checked(site, asked, pairs=5000)
    assert list(preflight.bad) == asked[:1100]
    assert len(site.calls) == 1101


async def test_what_is_known_is_not_asked_again_unless_wanted() -> None:
    site = Site({})
    preflight = await checked(site, [Place("c1", None), Place("c2", None)])
    await preflight.check([Place("c1", None)])
    assert len(site.calls) == 1
    site.bad[Place("c1", None)] = FailureKind.MISSING
    await preflight.check([Place("c1", None)], again=True)
    assert list(preflight.bad) == [Place("c1", None)]


@pytest.mark.parametrize(
    "kind", [FailureKind.UNDONE, FailureKind.TOO_LARGE, FailureKind.INTERCEPTED, FailureKind.MASKED]
)
async def test_a_passing_failure_condemns_nobody(kind: FailureKind) -> None:
    failures = iter([kind, kind])

    async def call(batch: Batch) -> BulkAnswer | Failure:
        failure = next(failures, None)
        return Failure(failure, PlatformError("no", status=500)) if failure else BulkAnswer({})

    preflight = Preflight(call, BatchLimits(), GoodPlaces())
    await preflight.check([Place("c1", None)])
    assert not preflight.bad


@pytest.mark.parametrize(
    "kind",
    [FailureKind.UNKNOWN, FailureKind.TOO_LARGE, FailureKind.INTERCEPTED, FailureKind.MASKED],
)
async def test_a_place_that_cannot_be_asked_about_is_not_good(kind: FailureKind) -> None:
    site = Site({Place("c2", None): kind})
    preflight = await checked(site, [Place("c1", None), Place("c2", None)])
    assert list(preflight.bad) == [Place("c2", None)]
    assert "whether the course exists cannot be told" in str(preflight.bad[Place("c2", None)])


async def test_what_stops_the_job_condemns_nobody() -> None:
    async def call(batch: Batch) -> BulkAnswer | Failure:
        return Failure(FailureKind.FATAL, PlatformError("no", status=0))

    preflight = Preflight(call, BatchLimits(), GoodPlaces())
    await preflight.check([Place("c1", None), Place("c2", None)])
    assert not preflight.bad


async def test_a_course_that_is_not_found_by_its_name_costs_one_call_more() -> None:
    missing = Place(COURSES[37], None)

    async def call(batch: Batch) -> BulkAnswer | Failure:
        calls.append(batch)
        if missing in places(batch):
            words = f"Course not found: {missing.course_id}."
            return Failure(FailureKind.MISSING, PlatformError(words, status=404))
        return BulkAnswer({})

    calls: list[Batch] = []
    preflight = Preflight(call, BatchLimits(), GoodPlaces())
    await preflight.check([Place(course_id, None) for course_id in COURSES])
    assert list(preflight.bad) == [missing]
    assert len(calls) == 2


async def test_jobs_share_what_they_find_out() -> None:
    site, remembered = Site({Place("c3", None): FailureKind.MISSING}), GoodPlaces()
    jobs = [Preflight(site.call, BatchLimits(), remembered) for _ in range(5)]
    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(job.check, [Place("c1", None), Place("c2", None)])
    assert len(site.calls) == 1
    await jobs[0].check([Place("c1", None)], again=True)
    assert len(site.calls) == 2
    for job in jobs:
        await job.check([Place("c3", None)])
        assert list(job.bad) == [Place("c3", None)]


def test_no_job_waits_until_another_has_found_what_is_bad() -> None:
    async def work() -> None:
        some = [Place(course_id, None) for course_id in COURSES]
        site, remembered = Site(dict.fromkeys(some[::7], FailureKind.MISSING)), GoodPlaces()

        async def call(batch: Batch) -> BulkAnswer | Failure:
            await anyio.sleep(1)
            return await site.call(batch)

        large, small = (Preflight(call, BatchLimits(), remembered) for _ in range(2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(large.check, some)
            tasks.start_soon(large.check, some)  # of one job, who needs the same waits
            await anyio.sleep(0.5)
            since = anyio.current_time()
            await small.check(some[-1:])
            assert anyio.current_time() < since + 2
        assert list(large.bad) == some[::7]
        assert len(site.calls) == len(set(site.calls)) + 1  # that of the small job

    simulated(work())


def test_what_was_found_good_is_remembered_for_ten_minutes() -> None:
    async def work() -> None:
        site, remembered = Site({}), GoodPlaces()
        for wait, calls in ((0, 1), (599, 1), (2, 2)):
            await anyio.sleep(wait)
            await Preflight(site.call, BatchLimits(), remembered).check([Place("c1", None)])
            assert len(site.calls) == calls

    simulated(work())


async def test_reasons_are_in_words() -> None:
    site = Site({Place("c1", None): FailureKind.MISSING, Place("c2", None): FailureKind.UNDONE})
    preflight = await checked(site, [Place("c1", None), Place("c2", None)])
    assert str(preflight.bad[Place("c1", None)]) == "the course does not exist (no)"
    assert "fails on this course" in str(preflight.bad[Place("c2", None)])
