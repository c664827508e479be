"""Calls as large as the site finishes in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import BatchLimits, ConfigurationError
from async_enroll.pacing.batch_size import FIRST, BatchSize

LIMITS = BatchLimits(identifiers=5000, pairs=5000, seconds=10)


def rounds(batch_size: BatchSize, seconds_per_pair: float, count: int, *, gateway: float) -> int:
    """Make so many rounds of eight calls each; give how many of them have timed out."""
    timed_out = 0
    for _ in range(count):
        size = batch_size.pairs()
        for _ in range(8):
            if size * seconds_per_pair > gateway:
                timed_out += 1
                batch_size.timed_out(size, gateway)
            else:
                batch_size.answered(size, size * seconds_per_pair)
    return timed_out


@given(st.floats(0.0005, 0.05), st.integers(1, 5000), st.floats(1, 20))
def test_calls_come_to_take_what_they_should(per_pair: float, most: int, seconds: float) -> None:
    batch_size = BatchSize(BatchLimits(most, most, seconds=seconds), FIRST)
    assert rounds(batch_size, per_pair, 10, gateway=30) == 0
    best = min(most, seconds / per_pair)
    assert 0.9 * best - 1 <= batch_size.pairs() <= best + 1


def test_what_is_far_below_the_aim_need_not_be_felt_for() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    batch_size.answered(500, 0.5)
    assert batch_size.pairs() == 5000


def test_growth_is_to_twice_what_was_answered() -> None:
    batch_size = BatchSize(BatchLimits(5000, 5000, seconds=100), FIRST)
    batch_size.answered(500, 40)
    assert batch_size.pairs() == 1000


def test_a_time_out_is_heeded_at_once_and_remembered() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    batch_size.timed_out(500, 30)
    assert batch_size.pairs() == 166  # ten seconds' worth, if it would have ended just then
    for _ in range(5):
        batch_size.answered(batch_size.pairs(), 0.1)
    assert batch_size.pairs() <= batch_size.most < 280
    for _ in range(200):
        batch_size.answered(batch_size.pairs(), 0.1)
    assert batch_size.pairs() == 5000


def test_a_few_stray_time_outs_change_nothing() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    for _ in range(20):
        batch_size.answered(500, 10)
        batch_size.timed_out(500, 0.1)  # nobody has waited
        batch_size.timed_out(500, 30)
        batch_size.timed_out(500, 30)
    assert batch_size.pairs() == 500
    batch_size.timed_out(500, 30)
    assert batch_size.pairs() == 166


def test_small_calls_that_time_out_do_not_make_all_calls_small() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    batch_size.timed_out(1, 60)
    assert batch_size.pairs() == FIRST
    batch_size.timed_out(1, 60)
    batch_size.timed_out(1, 60)  # now it is a matter of the site
    assert batch_size.pairs() == 1
    for _ in range(100):
        batch_size.answered(batch_size.pairs(), 0.001 * batch_size.pairs())
    assert batch_size.pairs() > FIRST


def test_small_calls_say_nothing_of_large_ones() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    for _ in range(100):
        batch_size.answered(1, 0.3)  # nearly all of it is the call's, not the pair's
    assert batch_size.pairs() == FIRST


def test_a_single_call_is_not_cut_for_caution() -> None:
    batch_size = BatchSize(LIMITS, FIRST)
    assert batch_size.pairs(alone=True) == 5000
    batch_size.answered(500, 12.5)
    assert batch_size.pairs(alone=True) == batch_size.pairs() == 400


steps = st.lists(st.tuples(st.booleans(), st.integers(1, 5000), st.floats(0, 1000)), max_size=50)


@given(steps, st.integers(1, 5000))
def test_whatever_happens_a_call_carries_something(
    happened: list[tuple[bool, int, float]], most: int
) -> None:
    batch_size = BatchSize(BatchLimits(most, most), FIRST)
    for timed_out, pairs, seconds in happened:
        (batch_size.timed_out if timed_out else batch_size.answered)(pairs, seconds)
        assert 1 <= batch_size.pairs() <= max(1, most)
    for _ in range(3):
        batch_size.timed_out(most, 30)
    assert batch_size.pairs() <= max(1, most / 2)


def test_a_call_has_to_be_given_time() -> None:
    with pytest.raises(ConfigurationError, match="0 seconds"):
        BatchLimits(seconds=0)
