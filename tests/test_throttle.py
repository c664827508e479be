"""The request window: no refusals, and nothing wasted."""

import math
from collections import deque
from heapq import heappop, heappush

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import RequestWindow
from async_enroll.throttle import Throttle, WindowLog


def simulate(
    log: WindowLog, platform_calls: int, delays: list[tuple[float, float]]
) -> tuple[list[float], int]:
    """Send calls as early as `log` allows to a platform that counts arrivals.

    A call takes `delays` seconds to arrive and to be answered. Gives when each call was
    counted, and how many refusals there were.
    """
    now, sent, refusals = 0.0, 0, 0
    counted: list[float] = []
    window: deque[float] = deque()
    events: list[tuple[float, int, str]] = []
    places = {}
    seconds = log.window.seconds
    waiting = deque(range(len(delays)))
    while waiting or events:
        while waiting and log.wait(now) == 0:
            call = waiting.popleft()
            places[call] = log.send(now)
            heappush(events, (now + delays[call][0], sent, f"arrival {call}"))
            sent += 1
        wait = log.wait(now) if waiting else math.inf
        if events and events[0][0] <= now + wait:
            now, _, event = heappop(events)
            kind, number = event.split()
            call = int(number)
            if kind == "arrival":
                while window and window[0] <= now - seconds:
                    window.popleft()
                accepted = len(window) < platform_calls
                if accepted:
                    window.append(now)
                    counted.append(now)
                retry_after = 0.0 if accepted else math.ceil(window[0] + seconds - now)
                kind = "answer" if accepted else f"refusal{retry_after}"
                heappush(events, (now + delays[call][1], sent, f"{kind} {call}"))
                sent += 1
            elif kind == "answer":
                log.answered(places[call], now)
            else:
                refusals += 1
                log.refused(places[call], float(kind.removeprefix("refusal")), now)
                waiting.append(call)
        else:
            now += wait
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
    assert shortest <= counted[-1] <= shortest + calls * 1e-5


@given(st.integers(1, 9), st.integers(1, 8))
def test_a_window_that_is_narrower_than_told_is_found_out(calls: int, concurrency: int) -> None:
    log = WindowLog(RequestWindow(10, 60), concurrency)
    _, refusals = simulate(log, calls, [(0.01, 0.01)] * 60)
    assert log.calls == calls
    assert refusals <= 2 * concurrency


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
        (1.0, 10),  # long before: somebody else's oldest call
        (60.0, 10),  # long after: something stray
    ],
)
def test_only_a_refusal_that_our_own_calls_explain_narrows_the_window(
    retry_after: float, calls: int
) -> None:
    log = filled(5)
    log.refused(log.send(10), retry_after, 10.1)
    assert log.calls == calls
    assert log.wait(10.1) == pytest.approx(retry_after)


def test_a_refusal_of_an_empty_window_explains_nothing() -> None:
    log = filled(0)
    log.refused(log.send(0), 60, 1)
    assert log.calls == 10


def test_refusals_without_a_time_wait_longer_and_longer() -> None:
    log = filled(0)
    waits = []
    for _ in range(5):
        now = log.held_until if log.held_until > 0 else 0.0
        log.refused(log.send(now), None, now)
        waits.append(log.held_until - now)
    assert waits == [6, 12, 24, 48, 60]
    log.answered(log.send(log.held_until), log.held_until)
    log.refused(log.send(200), None, 200)
    assert log.held_until == 206


def test_a_call_that_was_never_sent_takes_no_place() -> None:
    log = WindowLog(RequestWindow(1, 60), 8)
    log.unsent(log.send(0))
    assert log.wait(0) == 0


async def test_first_come_first_served() -> None:
    throttle = Throttle(RequestWindow(2, 0.2), concurrency=1)
    order: list[int] = []

    async def call(number: int) -> None:
        async with throttle.turn():
            order.append(number)

    async with anyio.create_task_group() as calls:
        for number in range(6):
            calls.start_soon(call, number)
    assert order == list(range(6))


async def test_concurrency_bounds_what_is_in_flight() -> None:
    throttle = Throttle(RequestWindow(100, 60), concurrency=3)
    in_flight = peak = 0

    async def call() -> None:
        nonlocal in_flight, peak
        async with throttle.turn() as turn:
            in_flight += 1
            peak = max(peak, in_flight)
            await anyio.sleep(0.01)
            in_flight -= 1
            turn.borne(1)

    async with anyio.create_task_group() as calls:
        for _ in range(12):
            calls.start_soon(call)
    assert peak == 3


async def test_a_refusal_holds_all_calls_and_then_spreads_them() -> None:
    throttle = Throttle(RequestWindow(10, 1), concurrency=8)
    async with throttle.turn() as turn:
        turn.refused(0.2)
    start = anyio.current_time()
    times: list[float] = []

    async def call() -> None:
        async with throttle.turn():
            times.append(anyio.current_time() - start)

    async with anyio.create_task_group() as calls:
        for _ in range(4):
            calls.start_soon(call)
    assert times[0] >= 0.19
    assert times[-1] >= 0.2 + 2 * 0.1  # a tenth of the window each, not all at once


async def test_a_hold_holds_what_has_no_place_in_the_window() -> None:
    throttle = Throttle(RequestWindow(10, 1), concurrency=8)
    throttle.hold(0.1)
    start = anyio.current_time()
    await throttle.unheld()
    assert anyio.current_time() - start >= 0.09


async def test_cancelled_callers_leave_their_places() -> None:
    throttle = Throttle(RequestWindow(2, 0.3), concurrency=1)
    with anyio.move_on_after(0.05):
        async with throttle.turn():  # in flight when cancelled: counts as sent
            await anyio.sleep_forever()
    async with anyio.create_task_group() as calls:
        for _ in range(5):
            calls.start_soon(throttle.turn().__aenter__)
        await anyio.sleep(0.05)
        calls.cancel_scope.cancel()
    start = anyio.current_time()
    async with throttle.turn():
        pass
    assert anyio.current_time() - start < 0.3
