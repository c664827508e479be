"""As many calls at once as the site bears."""

import math
import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.pacing.concurrency import ConcurrencyLimit, Sent


@define
class Run:
    """How many calls were answered and refused, and in how many seconds."""

    answered: int = 0
    refused: int = 0
    seconds: float = 0.0
    peak: int = 0


def run(
    concurrency_limit: ConcurrencyLimit,
    calls: int,
    *,
    workers: float = math.inf,
    backlog: float = math.inf,
    takes: Callable[[float], float] = lambda now: 1.0,
    start: float = 0.0,
) -> Run:
    """Send so many calls to a site with so many workers, as early as allowed."""
    found, now, left, in_flight = Run(), start, calls, 0
    busy, line, number = 0, list[Sent](), count()
    events: list[tuple[float, int, str, Sent]] = []

    def begin(sent: Sent) -> None:
        nonlocal busy
        busy += 1
        heappush(events, (now + takes(now), next(number), "answered", sent))

    while left or events:
        while left and (wait := concurrency_limit.wait(in_flight, now)) == 0:
            in_flight += 1
            left -= 1
            found.peak = max(found.peak, in_flight)
            sent = concurrency_limit.sent(in_flight, now)
            if busy < workers:
                begin(sent)
            elif len(line) < backlog:
                line.append(sent)
            else:
                heappush(events, (now + 0.05, next(number), "refused", sent))
        if left and events and now + wait < events[0][0]:
            now += wait
            continue
        now, _, what, sent = heappop(events)
        in_flight -= 1
        if what == "answered":
            busy -= 1
            found.answered += 1
            concurrency_limit.answered(sent, now)
            if line:
                begin(line.pop(0))
        else:
            found.refused += 1
            left += 1
            concurrency_limit.busy(sent, now)
    found.seconds = now - start
    return found


@pytest.mark.parametrize("workers", [1, 2, 4, 16])
@pytest.mark.parametrize("backlog", [0, 3])
def test_a_site_that_turns_calls_away(workers: int, backlog: int) -> None:
    found = run(ConcurrencyLimit(32), 200 * workers, workers=workers, backlog=backlog)
    assert found.refused <= max(4, 0.02 * 200 * workers)
    assert 200 / found.seconds >= 0.95


@pytest.mark.parametrize("workers", [2, 4, 16])
def test_a_site_where_calls_stand_in_line(workers: int) -> None:
    found = run(ConcurrencyLimit(64), 100 * workers, workers=workers)
    assert 100 / found.seconds >= 0.95


def test_a_site_that_bears_all_is_given_all() -> None:
    concurrency_limit = ConcurrencyLimit(8)
    found = run(concurrency_limit, 100)
    assert (found.peak, concurrency_limit.limit) == (8, 8)
    assert found.seconds < 100 / 8 + 1.5


def test_a_site_that_becomes_slower_is_not_asked_less() -> None:
    concurrency_limit = ConcurrencyLimit(8)
    run(concurrency_limit, 400, takes=lambda now: 1.0 if now < 10 else 5.0)
    assert concurrency_limit.limit == 8


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8])
def test_a_site_whose_calls_take_differently_long_is_not_asked_less(sigma: float) -> None:
    chance, work = random.Random(1), 0.0

    def takes(_: float) -> float:
        nonlocal work
        seconds = chance.lognormvariate(0, sigma)
        work += seconds
        return seconds

    concurrency_limit = ConcurrencyLimit(8)
    found = run(concurrency_limit, 400, takes=takes)
    assert concurrency_limit.limit == 8
    assert found.seconds <= 1.15 * work / 8


def test_after_a_time_when_nothing_went_all_goes_again() -> None:
    concurrency_limit = ConcurrencyLimit(8)
    run(concurrency_limit, 100)
    for now in range(1000, 1040):
        concurrency_limit.busy(
            concurrency_limit.sent(concurrency_limit.limit, float(now)), now + 0.5
        )
    assert concurrency_limit.limit == 1
    run(concurrency_limit, 100, start=2000)
    assert concurrency_limit.limit == 8


def test_a_stray_refusal_costs_nothing() -> None:
    concurrency_limit = ConcurrencyLimit(8)
    run(concurrency_limit, 100)
    concurrency_limit.busy(concurrency_limit.sent(1, 1000.0), 1000.1)
    assert concurrency_limit.limit == 8


def test_a_site_that_bears_less_than_before() -> None:
    concurrency_limit = ConcurrencyLimit(8)
    run(concurrency_limit, 100)
    found = run(concurrency_limit, 400, workers=4, backlog=0, start=1000)
    assert concurrency_limit.limit in (4, 5)
    assert found.refused <= 16
    assert 400 / 4 / found.seconds >= 0.95


def test_calls_refused_together_count_once() -> None:
    concurrency_limit = ConcurrencyLimit(32)
    run(concurrency_limit, 200)
    sent = [concurrency_limit.sent(number, 1000.0) for number in range(17, 33)]
    for one in sent:
        concurrency_limit.busy(one, 1000.1)
    assert concurrency_limit.limit == 18  # as the third said: two may have been strays


@given(st.integers(1, 40), st.lists(st.sampled_from(["sent", "answered", "busy"]), max_size=80))
def test_the_limit_stays_within_bounds(most: int, happened: list[str]) -> None:
    concurrency_limit = ConcurrencyLimit(most)
    in_flight = [concurrency_limit.sent(1, 0.0)]
    for now, what in enumerate(happened, 1):
        if what == "sent" or not in_flight:
            in_flight.append(concurrency_limit.sent(len(in_flight) + 1, float(now)))
        elif what == "answered":
            concurrency_limit.answered(in_flight.pop(), float(now))
        else:
            concurrency_limit.busy(in_flight.pop(), float(now))
        assert 1 <= concurrency_limit.limit <= most
