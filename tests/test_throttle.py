"""Whose turn it is."""

import anyio
import pytest

from async_enroll import RequestWindow
from async_enroll.throttle import Throttle, Work


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


async def test_a_call_without_an_answer_tells_nothing_of_the_way() -> None:
    throttle = Throttle(RequestWindow(10, 60), concurrency=8)
    async with throttle.turn() as turn:
        turn.borne(0)
    async with throttle.turn():
        pass  # cut off at once
    way = throttle.work._fastest_call
    await anyio.sleep(0.01)
    async with throttle.turn():
        pass
    assert throttle.work._fastest_call == way


def test_work_is_what_calls_take_beyond_the_shortest() -> None:
    work = Work()
    assert work.least(0, 0.1) == 0  # asks for nothing, and takes as long as the way
    assert work.least(100, 2.1) == pytest.approx(2.0)
    assert work.least(200, 4.1) == pytest.approx(4.0)
    assert work.least(100, 1.1) == pytest.approx(1.0)  # those were done before, say
    assert work.least(100, 5.1) == pytest.approx(1.0)
