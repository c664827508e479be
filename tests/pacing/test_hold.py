"""How long the site wants to be left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.pacing.hold import Hold


def held() -> Hold:
    return Hold(window=60, patience=300)


def in_a_row(hold: Hold, times: int, retry_after: float | None, now: float = 0.0) -> list[float]:
    """Refuse the first call after each wait; give the waits."""
    waits = list[float]()
    for _ in range(times):
        hold.refused(retry_after, now)
        waits.append(hold.wait(now))
        now = hold.until
    return waits


@pytest.mark.parametrize("retry_after", [None, 0.0, 0.2])
def test_refusals_that_name_no_time_worth_the_name_wait_longer_and_longer(
    retry_after: float | None,
) -> None:
    hold = held()
    assert in_a_row(hold, 7, retry_after) == [1, 2, 4, 8, 15, 15, 15]
    hold.answered(2000, 2000)
    assert in_a_row(hold, 2, retry_after, 2000) == [1, 2]


def test_what_the_site_names_is_kept_to() -> None:
    assert in_a_row(held(), 6, 10.0) == [10, 10, 10, 10, 15, 15]


def test_refusals_of_calls_that_were_under_way_together_count_once() -> None:
    hold = held()
    for late in range(8):
        hold.refused(None, 10 + late / 10)
    assert hold.until == 11
    hold.refused(30, 10.9)
    assert hold.until == pytest.approx(40.9)


@pytest.mark.parametrize("seconds", [301, 86_400, 1e12])
def test_a_wait_beyond_patience_is_hopeless_until_it_is_over(seconds: float) -> None:
    hold = held()
    hold.refused(seconds, 10)
    hold.answered(9, 11)  # it was sent before the other was refused
    assert hold.is_hopeless(12)
    assert hold.is_hopeless(9 + seconds)
    assert not hold.is_hopeless(10 + seconds)
    hold.refused(1, 10 + seconds)  # patience begins anew
    assert not hold.is_hopeless(10.5 + seconds)


def test_a_wait_within_patience_is_not() -> None:
    hold = held()
    hold.refused(300, 10)
    assert not hold.is_hopeless(11)


def test_refusals_in_a_row_are_hopeless_when_they_go_on_beyond_patience() -> None:
    hold, now = held(), 0.0
    while not hold.is_hopeless(now):
        now = max(now, hold.until)
        hold.refused(10, now)
    assert 280 <= now <= 300


def test_refusals_with_calls_between_are_never_hopeless() -> None:
    hold = held()
    for now in range(0, 10_000, 20):
        hold.refused(10, now)
        assert not hold.is_hopeless(now)
        hold.answered(now + 15, now + 15)


def test_calls_that_are_answered_while_others_are_held_end_the_row() -> None:
    hold = held()
    for now in range(0, 1000, 10):
        hold.refused(10, now + 1)  # while one that was sent with it is worked on
        hold.answered(now, now + 3)
        assert not hold.is_hopeless(now + 5)
    hold.refused(400, now + 5)
    assert hold.is_hopeless(now + 6)


def test_refusals_far_apart_are_no_row() -> None:
    hold = held()
    for now in range(0, 10_000, 400):
        hold.refused(10, now)
        assert not hold.is_hopeless(now)


steps = st.tuples(st.floats(0, 100), st.booleans(), st.none() | st.floats(0, 1e6))


@given(st.lists(steps, max_size=50), st.floats(0.01, 1000))
def test_a_hold_is_never_shorter_than_any_refusal_asked_for(
    happened: list[tuple[float, bool, float | None]], patience: float
) -> None:
    hold, now, asked = Hold(60, patience), 0.0, 0.0
    for passed, refused, retry_after in happened:
        now += passed
        if refused:
            hold.refused(retry_after, now)
            asked = max(asked, now + (retry_after or 0))
        else:
            hold.answered(now, now)
        assert hold.until >= asked or not asked
        assert hold.wait(now) <= max(15.0, asked - now) + 1e-6  # the sums are rounded
        if asked > now + patience:
            assert hold.is_hopeless(now)
