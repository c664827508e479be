"""Whose turn it is."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from async_enroll import RequestWindow, TransportError
from async_enroll.pacing.throttle import Throttle, Work
from tests.clock import simulated


@simulated
async def test_first_come_first_served() -> None:
    throttle = Throttle(RequestWindow(2, 0.2), concurrency=1, patience=300)
    order: list[int] = []

    async def call(number: int) -> None:
        with await throttle.permit():
            order.append(number)

    async with anyio.create_task_group() as calls:
        for number in range(6):
            calls.start_soon(call, number)
    assert order == list(range(6))


@simulated
async def test_concurrency_bounds_what_is_in_flight() -> None:
    throttle = Throttle(RequestWindow(100, 60), concurrency=3, patience=300)
    in_flight = peak = 0

    async def call() -> None:
        nonlocal in_flight, peak
        with await throttle.permit() as permit:
            in_flight += 1
            peak = max(peak, in_flight)
            await anyio.sleep(0.01)
            in_flight -= 1
            permit.completed(1)

    async with anyio.create_task_group() as calls:
        for _ in range(12):
            calls.start_soon(call)
    assert peak == 3


@simulated
async def test_a_call_counts_from_its_answer_however_long_that_takes_to_record() -> None:
    throttle = Throttle(RequestWindow(1, 1), concurrency=8, patience=300)
    with await throttle.permit() as permit:
        await anyio.sleep(0.1)
        assert permit.completed(1) == pytest.approx(0.1, abs=0.01)
        answered = anyio.current_time()
        await anyio.sleep(0.5)
        assert throttle.log.in_flight == 1
    with await throttle.permit():
        assert anyio.current_time() == pytest.approx(answered + 1, abs=0.11)


@simulated
async def test_a_permit_at_once_is_one_that_nobody_waits_for() -> None:
    throttle = Throttle(RequestWindow(2, 1), concurrency=8, patience=300)
    with await throttle.permit():
        pass
    permit = throttle.permit_at_once()
    assert permit is not None
    assert throttle.permit_at_once() is None  # the window is full
    with permit:
        permit.unsent()
    order: list[int] = []

    async def call(number: int) -> None:
        with await throttle.permit():
            order.append(number)

    async with anyio.create_task_group() as calls:
        for number in range(2):
            calls.start_soon(call, number)
        await anyio.sleep(0.5)
        assert order == [0]
        assert throttle.permit_at_once() is None  # behind the other one
    assert order == [0, 1]
    await anyio.sleep(2)
    assert throttle.permit_at_once() is not None


@simulated
async def test_no_permit_at_once_while_calls_are_held_or_spaced() -> None:
    throttle = Throttle(RequestWindow(10, 60), concurrency=8, patience=300)
    with await throttle.permit() as permit:
        permit.refused(5)
    assert throttle.permit_at_once() is None
    await anyio.sleep(6)
    assert throttle.pace.interval
    assert throttle.permit_at_once() is None
    throttle = Throttle(RequestWindow(10, 60), concurrency=8, patience=300)
    throttle.hold(1000)
    with pytest.raises(TransportError, match="patience"):
        throttle.permit_at_once()


@simulated
async def test_a_refusal_holds_all_calls_and_then_spreads_them() -> None:
    throttle = Throttle(RequestWindow(10, 1), concurrency=8, patience=300)
    with await throttle.permit() as permit:
        permit.refused(0.2)
    start = anyio.current_time()
    times: list[float] = []

    async def call() -> None:
        with await throttle.permit():
            times.append(anyio.current_time() - start)

    async with anyio.create_task_group() as calls:
        for _ in range(4):
            calls.start_soon(call)
    assert times[0] >= 0.19
    assert times[-1] >= 0.2 + 2 * 0.1  # a tenth of the window each, not all at once


@simulated
async def test_calls_are_spaced_anew_after_a_rest() -> None:
    throttle = Throttle(RequestWindow(10, 1), concurrency=8, patience=300)

    async def call(*, accepted: bool = True) -> float:
        with throttle.permit_at_once() or await throttle.permit() as permit:
            sent = anyio.current_time()
            if accepted:
                await anyio.sleep(0.01)
                permit.completed(1)
            else:  # too fast, as a proxy says without asking for a pause
                permit.busy()
            return sent

    await call()
    await call(accepted=False)
    await call()
    assert throttle.pace.interval == pytest.approx(0.1)
    await anyio.sleep(2)
    await call()
    assert not throttle.pace.interval
    await anyio.sleep(0.5)
    await call()
    refused = await call(accepted=False)
    assert throttle.pace.interval == pytest.approx(0.1)
    assert await call() >= refused + 0.1


@simulated
async def test_a_hold_holds_what_has_no_place_in_the_window() -> None:
    throttle = Throttle(RequestWindow(120, 60), concurrency=8, patience=300)
    throttle.hold(100)
    await throttle.unheld()
    assert anyio.current_time() == pytest.approx(100, abs=0.01)


@simulated
async def test_a_hold_beyond_patience_is_told_to_all_and_comes_to_an_end() -> None:
    throttle = Throttle(RequestWindow(1, 60), concurrency=8, patience=300)
    told: list[str] = []

    async def call(wait: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(TransportError) as raised:
            await wait()
        assert not raised.value.sent
        told.append(str(raised.value))

    async def in_turn() -> None:
        with await throttle.permit():
            raise AssertionError("nothing may be sent")

    with await throttle.permit():
        pass
    async with anyio.create_task_group() as calls:
        for _ in range(3):
            calls.start_soon(call, in_turn)  # waits for the window
        throttle.hold(10)
        calls.start_soon(call, throttle.unheld)
        await anyio.sleep(1)
        throttle.hold(86_400)
    await call(in_turn)
    await call(throttle.unheld)
    assert anyio.current_time() < 2
    assert len(told) == 6
    assert told[0] == "the site asks to wait for 86,400 s more; patience is 300 s"
    await anyio.sleep(86_400)
    with await throttle.permit() as permit:
        permit.refused(1)  # which does not end patience at once
    with await throttle.permit():
        pass


@simulated
async def test_a_request_that_is_refused_again_and_again_is_given_up() -> None:
    """Where others are answered, its refusals are no reason to stop them."""
    throttle = Throttle(RequestWindow(120, 60), concurrency=8, patience=300)
    refusals = throttle.refusals()
    again = True
    while again:
        with await throttle.permit() as permit:
            permit.refused(10)
        again = refusals.again()
        with await throttle.permit():
            pass
    assert 300 <= anyio.current_time() <= 300 + 2 * 60


@simulated
async def test_a_site_that_refuses_everything_stops_whoever_waits() -> None:
    throttle = Throttle(RequestWindow(120, 60), concurrency=8, patience=300)
    refusals = throttle.refusals()

    async def insist() -> None:
        while True:
            with await throttle.permit() as permit:
                permit.refused(10)
            assert refusals.again()

    with pytest.raises(TransportError, match="refuses every call; patience is 300 s"):
        await insist()
    assert 280 <= anyio.current_time() <= 300


@simulated
async def test_cancelled_callers_leave_their_places() -> None:
    throttle = Throttle(RequestWindow(2, 0.3), concurrency=1, patience=300)
    with anyio.move_on_after(0.05):
        with await throttle.permit():  # in flight when cancelled: counts as sent
            await anyio.sleep_forever()

    async def call() -> None:
        with await throttle.permit():
            pass

    async with anyio.create_task_group() as calls:
        for _ in range(5):
            calls.start_soon(call)
        await anyio.sleep(0.05)
        calls.cancel_scope.cancel()
    start = anyio.current_time()
    with await throttle.permit():
        pass
    assert anyio.current_time() - start < 0.3


@simulated
async def test_a_call_without_an_answer_tells_nothing_of_the_way() -> None:
    throttle = Throttle(RequestWindow(10, 60), concurrency=8, patience=300)
    with await throttle.permit() as permit:
        permit.completed(0)
    with await throttle.permit():
        pass  # cut off at once
    way = throttle.work._fastest_call
    await anyio.sleep(0.01)
    with await throttle.permit():
        pass
    assert throttle.work._fastest_call == way


def test_work_is_what_calls_take_beyond_the_shortest() -> None:
    work = Work()
    assert work.least(0, 0.1) == 0  # asks for nothing, and takes as long as the way
    assert work.least(100, 2.1) == pytest.approx(2.0)
    assert work.least(200, 4.1) == pytest.approx(4.0)
    assert work.least(100, 1.1) == pytest.approx(1.0)  # those were done before, say
    assert work.least(100, 5.1) == pytest.approx(1.0)


def test_to_open_a_connection_is_no_work() -> None:
    work = Work()
    work.least(0, 0.4)  # opens a connection
    work.least(1, 0.1)  # finds one open
    assert work.least(10, 0.7) == pytest.approx(0.3)  # may have opened one
