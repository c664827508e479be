"""The request window: no refusals, and nothing wasted."""

import math
import random
from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import RequestWindow
from async_enroll.pacing.hold import Hold
from async_enroll.pacing.sliding_window import Call, WindowLog
from async_enroll.pacing.window_share import WindowShare


def simulate(
    log: WindowLog,
    platform_calls: int,
    delays: Iterable[tuple[float, float]],
    *,
    work: float = 0.0,
    others: Iterable[float] = (),
    clock: float = 1.0,
) -> tuple[list[float], int]:
    """Send calls as early as `log` allows to a platform that counts arrivals.

    A call takes `delays` seconds to arrive, is worked on for so many seconds, and takes as
    long to be answered. `others` are when calls of other users arrive, who insist; the platform's
    `clock` goes so fast. Gives when each call was counted, and how many refusals there were.
    """
    delays = list(delays)
    now, refusals, number = 0.0, 0, count()
    counted: list[float] = []
    window: deque[float] = deque()
    events: list[tuple[float, int, str, int, float]] = []
    places: dict[int, Call] = {}
    seconds = log.window.seconds / clock
    held = Hold(log.window.seconds, patience=math.inf)

    def must_wait() -> float:
        return max(log.wait(now), held.wait(now))

    def happens(at: float, what: str, call: int = -1, retry_after: float = 0.0) -> None:
        heappush(events, (at, next(number), what, call, retry_after))

    for arrival in others:
        happens(arrival, "other")
    waiting = deque(range(len(delays)))
    while waiting or places:
        while waiting and must_wait() == 0:
            call = waiting.popleft()
            places[call] = log.send(now)
            happens(now + delays[call][0], "arrival", call)
        wait = must_wait() if waiting else math.inf
        if not events or events[0][0] > now + wait:
            now += wait
            continue
        now, _, what, call, retry_after = heappop(events)
        if what == "answer":
            held.answered(places[call].sent, now)
            log.answered(places.pop(call), now, worked=work)
        elif what == "refusal":
            refusals += 1
            log.refused(places.pop(call), retry_after, now)
            held.refused(retry_after, now)
            waiting.append(call)
        else:
            while window and window[0] <= now - seconds:
                window.popleft()
            accepted = len(window) < platform_calls
            if accepted:
                window.append(now)
            if what == "other":
                if not accepted:
                    happens(now + 0.5, "other")
            elif accepted:
                counted.append(now)
                happens(now + work + delays[call][1], "answer", call)
            else:
                retry_after = math.ceil(window[0] + seconds - now)
                happens(now + delays[call][1], "refusal", call, retry_after)
    return counted, refusals


delay = st.floats(0.001, 30)
windows = st.builds(RequestWindow, st.integers(1, 10), st.floats(1, 60))


@given(windows, st.integers(1, 12), st.lists(st.tuples(delay, delay), max_size=60))
def test_never_a_refusal_whatever_the_network_does(
    window: RequestWindow, concurrency: int, delays: list[tuple[float, float]]
) -> None:
    counted, refusals = simulate(WindowLog(window, concurrency), window.calls, delays)
    assert refusals == 0
    assert len(counted) == len(delays)


@given(windows, st.integers(1, 60))
def test_nothing_is_wasted_where_the_network_is_fast(window: RequestWindow, calls: int) -> None:
    counted, _ = simulate(WindowLog(window, 8), window.calls, [(1e-6, 1e-6)] * calls)
    shortest = (calls - 1) // window.calls * window.seconds
    assert shortest <= counted[-1] <= 1.002 * shortest + calls * 1e-5


@given(st.integers(1, 9), st.integers(1, 8))
def test_a_window_that_is_narrower_than_told_is_found_out(calls: int, concurrency: int) -> None:
    log = WindowLog(RequestWindow(10, 60), concurrency)
    counted, refusals = simulate(log, calls, [(0.01, 0.01)] * 60)
    assert calls <= log.share.calls <= calls + 4  # once a window it is tried whether there is more
    windows = math.ceil(60 / calls)
    assert refusals <= concurrency + 4 * windows
    assert counted[-1] <= 1.05 * windows * 60


def filled(calls: int) -> WindowLog:
    log = WindowLog(RequestWindow(10, 60), 8)
    for second in range(calls):
        log.answered(log.send(float(second)), second + 0.5)
    return log


@pytest.mark.parametrize(
    ("retry_after", "calls"),
    [
        (50.0, 5),  # just when our own oldest call leaves the window: it is full of ours
        (51.0, 5),
        (1.0, 5),  # long before: somebody else's oldest call
        (None, 10),  # not the platform's throttle
        (0.0, 10),
    ],
)
def test_a_refusal_that_names_a_time_cuts_the_share_to_what_we_have(
    retry_after: float | None, calls: int
) -> None:
    log = filled(5)
    explained = log.refused(log.send(10), retry_after, 10.1)
    assert explained == (retry_after in (50.0, 51.0))
    assert log.share.calls == calls


def test_a_refusal_of_an_empty_window_explains_nothing() -> None:
    log = filled(0)
    log.refused(log.send(0), 60, 1)
    assert log.share.calls == 10


def test_a_call_that_was_never_sent_takes_no_place() -> None:
    log = WindowLog(RequestWindow(1, 60), 8)
    log.unsent(log.send(0))
    assert log.wait(0) == 0


REAL = RequestWindow()
"""The platform's own: 120 in 60 s."""


def rate(counted: list[float], since: float, until: float) -> float:
    """How many calls were counted in 60 s, in a stretch of time."""
    return 60 * sum(since <= at < until for at in counted) / (until - since)


@pytest.mark.parametrize("work", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("clock", [1.0, 0.999, 1.001])
def test_the_optimum_of_a_real_window(work: float, clock: float) -> None:
    chance = random.Random(1)
    delays = [(chance.uniform(0.02, 0.3), chance.uniform(0.02, 0.3)) for _ in range(1200)]
    log = WindowLog(REAL, 16)
    counted, refusals = simulate(log, REAL.calls, delays, work=work, clock=clock)
    shortest = 1199 // REAL.calls * REAL.seconds
    assert refusals == 0
    assert counted[-1] <= 1.01 * shortest + 120 * (work + 0.6) / 16


def test_others_who_take_half_are_left_their_half() -> None:
    chance = random.Random(2)
    others = [number + chance.uniform(0, 1) for number in range(3600)]  # one a second
    delays = [(chance.uniform(0.02, 0.1), chance.uniform(0.02, 0.1)) for _ in range(2000)]
    counted, refusals = simulate(WindowLog(REAL, 8), REAL.calls, delays, others=others)
    # Whenever a place of theirs becomes free, it is tried whether it can be ours.
    assert refusals <= 0.16 * len(counted)
    assert rate(counted, 300, 1800) >= 0.95 * 60


def test_when_the_others_have_left_all_of_it_is_ours_again() -> None:
    others = [number + 0.5 for number in range(1200)]
    log = WindowLog(REAL, 8)
    counted, _ = simulate(log, REAL.calls, [(0.05, 0.05)] * 4000, others=others)
    assert rate(counted, 600, 1200) < 70
    assert rate(counted, 1200 + 120, 1200 + 1200) >= 0.98 * 120


def test_a_narrow_window_is_kept_to_and_probed_now_and_then() -> None:
    log = WindowLog(REAL, 8)
    counted, refusals = simulate(log, 80, [(0.05, 0.05)] * 4000)
    assert refusals <= counted[-1] / 60 + 8
    assert rate(counted, 120, 2400) >= 0.98 * 80


def test_a_cut_share_is_kept_for_a_window_and_then_raised_by_what_is_accepted() -> None:
    share = WindowShare(told=120, seconds=60)
    share.refused(10, ours=30, now=10.1)
    assert share.at(70) == 30
    share.counted(30)
    assert share.at(70.2) == 31
    share.counted(30)  # sent when there was room anyhow
    assert share.at(200) == 31
    raised = []
    while share.calls < 120:
        share.counted(share.calls)
        raised.append(share.at(200))
    assert raised == [32, 34, 38, 46, 62, 94, 120]


def test_a_raise_that_is_refused_is_taken_back_for_a_window() -> None:
    share = WindowShare(told=120, seconds=60)
    share.refused(10, ours=30, now=10.1)
    share.counted(30)
    assert share.at(80) == 31
    share.refused(80, ours=30, now=80.1)
    assert share.at(140) == 30
    assert share.at(140.2) == 31


@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(st.floats(0, 30), st.sampled_from(["refused", "counted"]), st.integers(0, 25))
    ),
)
def test_the_share_stays_within_what_was_told_and_is_never_nothing(
    told: int, happened: list[tuple[float, str, int]]
) -> None:
    share, now = WindowShare(told, 60), 0.0
    for passed, what, ours in happened:
        now += passed
        if what == "refused":
            share.refused(now, ours, now + 0.1)
        else:
            share.counted(ours)
        assert 1 <= share.at(now) <= told


def test_a_site_that_refuses_everything_for_a_time_does_not_narrow_the_window() -> None:
    log = filled(0)
    for second in range(100, 130):
        log.refused(log.send(second), 1.0, second + 0.1)
    assert log.share.calls == 10


def test_refusals_of_calls_that_were_under_way_together_count_once() -> None:
    log = filled(5)
    together: list[Call] = [log.send(10) for _ in range(3)]
    for number, place in enumerate(together):
        log.refused(place, 1.0, 10.1 + number / 10)
    assert log.share.calls == 5
