"""How evenly calls must go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import RequestWindow
from async_enroll.pacing.rate import Pace

WINDOW = RequestWindow(120, 60)
EVEN = 0.5
BURST = 10


def paced(rate: float, calls: int, *, pace: Pace | None = None) -> tuple[float, int]:
    """Send calls one by one to a proxy that takes so many a second, and a burst.

    Gives the seconds and how many were refused.
    """
    pace = pace or Pace(WINDOW)
    now, room, refused, taken = 0.0, float(BURST), 0, 0
    while taken < calls:
        passed = pace.interval or 0.05
        now, room = now + passed, min(BURST, room + passed * rate)
        call = pace.sent(now)
        if room >= 1:
            room, taken = room - 1, taken + 1
            pace.answered(call)
        else:
            refused += 1
            pace.refused(call)
    return now, refused


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 1.3, 1.9, 2.0])
def test_the_rate_is_found_out(rate: float) -> None:
    seconds, refused = paced(rate, 1000)
    assert seconds <= 1.03 * (1000 - BURST) / rate
    assert refused <= 30


def test_calls_that_meet_no_refusal_go_at_once() -> None:
    pace = Pace(WINDOW)
    for _ in range(100):
        pace.answered(pace.sent(0))
    assert pace.interval == 0


def test_calls_that_were_under_way_together_count_once() -> None:
    pace = Pace(WINDOW)
    together = [pace.sent(0) for _ in range(8)]
    for call in together:
        pace.refused(call)
    assert pace.interval == EVEN


def test_a_site_that_refuses_everything_for_a_time_tells_nothing_of_the_rate() -> None:
    pace = Pace(WINDOW)
    pace.answered(pace.sent(0))
    for _ in range(100):
        pace.refused(pace.sent(0))
    assert pace.interval <= 2 * EVEN


def test_a_call_that_is_refused_whenever_it_comes_does_not_stop_all_others() -> None:
    pace = Pace(WINDOW)
    for _ in range(100):
        pace.refused(pace.sent(0))
        pace.answered(pace.sent(0))
    assert pace.interval <= 30 * EVEN


def test_a_stray_refusal_is_forgotten() -> None:
    pace = Pace(WINDOW)
    pace.refused(pace.sent(0))
    for _ in range(600):
        pace.answered(pace.sent(0))
    assert pace.interval == 0


def test_after_a_rest_a_burst_may_go_again() -> None:
    pace = Pace(WINDOW)
    pace.refused(pace.sent(0))
    pace.sent(59)
    assert pace.interval == EVEN
    pace.sent(120)
    assert pace.interval == 0


def test_after_a_rest_a_rate_below_the_windows_is_still_known() -> None:
    pace = Pace(WINDOW)
    paced(1.0, 200, pace=pace)
    pace.sent(10_000)
    assert pace.interval == pytest.approx(1, rel=0.1)


def test_a_rate_that_rises_is_found_out() -> None:
    pace = Pace(WINDOW)
    paced(0.2, 200, pace=pace)
    seconds, _ = paced(1.0, 4000, pace=pace)
    assert seconds <= 2 * 4000


@given(st.lists(st.sampled_from(["sent", "answered", "refused"]), max_size=200))
def test_the_interval_is_none_or_one_that_costs_nothing_or_learned(happened: list[str]) -> None:
    pace, in_flight = Pace(WINDOW), list[int]()
    for what in happened:
        if what == "sent" or not in_flight:
            in_flight.append(pace.sent(0))
        elif what == "answered":
            pace.answered(in_flight.pop(0))
        else:
            pace.refused(in_flight.pop(0))
            assert pace.interval >= EVEN
        assert pace.interval == 0 or pace.interval >= EVEN
