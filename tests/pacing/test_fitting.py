"""Calls that fit the site, in size and in number, over a real socket."""

from collections import Counter

import pytest

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, RosterEntry
from async_enroll.sandbox import LimitReq, Platform


def statuses(platform: Platform) -> Counter[int]:
    calls = [request for request in platform.requests if "bulk_enroll" in request.path]
    return Counter(call.status for call in calls)


async def everybody(
    platform: Platform, learners: int, batch: BatchLimits, concurrency: int
) -> None:
    """Enroll so many learners, one course, in a job of many calls."""
    population = platform.seed(learners, 1)
    async with EnrollmentClient(
        platform.url,
        platform.token,
        window=RequestWindow(10_000, 1),
        batch=batch,
        concurrency=concurrency,
        settle=0.5,
    ) as client:
        roster = [RosterEntry(who, population.courses[0]) for who in population.emails]
        (await client.apply(roster)).raise_for_failures()


async def test_calls_grow_to_what_the_site_does_in_time() -> None:
    async with Platform(window=None, seconds_per_pair=0.0002, gateway_timeout=2.0) as platform:
        await everybody(platform, 12_000, BatchLimits(2000, 2000, seconds=0.5), 4)
    assert statuses(platform)[504] == 0
    pairs = [request.pairs for request in platform.requests]
    assert pairs[:2] == [1, 500]  # the preflight, and what it is begun with
    assert max(pairs) > 500


async def test_calls_that_time_out_are_made_smaller() -> None:
    async with Platform(window=None, seconds_per_pair=0.002, gateway_timeout=0.6) as platform:
        await everybody(platform, 3000, BatchLimits(500, 500, seconds=0.2), 2)
    assert statuses(platform)[504] <= 2
    late = [request.pairs for request in platform.requests[-8:] if request.pairs]
    assert max(late) <= 150


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_site_that_turns_calls_away_is_given_as_many_as_it_takes(workers: int) -> None:
    async with Platform(window=None, workers=workers, backlog=0, seconds_per_call=0.03) as platform:
        await everybody(platform, 100 * workers, BatchLimits(1, 1), 16)
    assert statuses(platform)[503] <= 20  # with 16 in flight, nine calls of ten are
    assert platform.in_flight_peak == workers


async def test_a_site_whose_calls_take_differently_long_is_not_asked_less() -> None:
    async with Platform(window=None, seconds_per_call=0.01, seconds_sigma=0.8) as platform:
        population = platform.seed(400, 1)
        async with EnrollmentClient(
            platform.url, platform.token, window=RequestWindow(10_000, 1), batch=BatchLimits(1, 1)
        ) as client:
            report = await client.bulk_enroll(population.emails, population.courses)
            assert report.ok
            assert client._throttle.concurrency_limit.limit == 8


@pytest.mark.parametrize("status", [503, 429])
async def test_a_site_that_limits_the_rate_is_given_calls_at_that_rate(status: int) -> None:
    """A tenth of real times: 2 a second, a burst of 10, and a window of a minute."""
    limit = LimitReq(rate=20, burst=10, status=status)
    async with Platform(window=None, limit_req=limit, seconds_per_call=0.02) as platform:
        population = platform.seed(100, 1)
        async with EnrollmentClient(
            platform.url,
            platform.token,
            window=RequestWindow(120, 6),
            batch=BatchLimits(1, 1),
            settle=0.5,
        ) as client:
            report = await client.bulk_enroll(
                population.emails, population.courses, email_students=True
            )
    assert report.ok
    assert statuses(platform)[status] <= 25
    unknown = sum(result.notified is None for result in report.results)
    assert unknown <= (25 if status == 503 else 0)


async def test_a_site_where_calls_of_one_learner_time_out_in_line_is_given_fewer() -> None:
    async with Platform(
        window=None, workers=1, seconds_per_call=0.1, gateway_timeout=0.45
    ) as platform:
        population = platform.seed(40, 1)
        async with EnrollmentClient(
            platform.url,
            platform.token,
            window=RequestWindow(10_000, 1),
            batch=BatchLimits(1, 1),
            settle=0.6,
            patience=10,
        ) as client:
            report = await client.bulk_enroll(population.emails, population.courses)
            assert report.ok
            assert client._throttle.concurrency_limit.limit <= 5  # as many as are done in 0.45 s
