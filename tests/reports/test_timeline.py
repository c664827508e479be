"""Pairs over time: nothing is lost, and it stays small."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.reports.timeline import MOST_BUCKETS, Bucket, Hold, Interruption, Pause, Timeline

START = 1_700_000_000.0

moves = st.lists(
    st.tuples(
        st.sampled_from(["add", "throttle", "outage", "resume"]),
        # Mostly forward in time, by fractions of a second or by weeks; at times back a little.
        st.floats(-5, 5) | st.floats(0, 1000) | st.floats(0, 3e6),
        st.integers(0, 500),
    ),
    max_size=80,
)


def play(told: list[tuple[str, float, int]]) -> tuple[Timeline, float, float]:
    timeline, at = Timeline(), START
    first = last = START
    for number, (what, later, size) in enumerate(told):
        at += later
        end = at
        if what == "add":
            timeline.add(at, size, size // 3)
        elif what == "resume":
            timeline.resume(at)
        else:
            end = at + size / 10
            timeline.pause(at, size / 10, Hold(what))
        first = at if number == 0 else first
        last = max(last if number else at, end)
    return timeline, first, last


@given(moves)
def test_nothing_is_lost_and_it_stays_small(told: list[tuple[str, float, int]]) -> None:
    timeline, first, last = play(told)
    added = [size for what, _, size in told if what == "add"]
    assert sum(bucket.pairs for bucket in timeline.buckets) == sum(added)
    assert sum(bucket.failed for bucket in timeline.buckets) == sum(size // 3 for size in added)
    assert len(timeline.buckets) <= MOST_BUCKETS
    assert len(timeline.interruptions) <= MOST_BUCKETS
    assert len(timeline.pauses) <= MOST_BUCKETS * len(Hold)
    if told:
        assert timeline.started == first
        # Every second is either worked or cut out.
        away = sum(away.seconds for away in timeline.interruptions)
        assert timeline.worked + away == pytest.approx(last - first, abs=0.01)
    for hold in Hold:
        for one, two in pairwise(pause for pause in timeline.pauses if pause.hold is hold):
            assert two.start - one.end >= timeline.width
    for pause in timeline.pauses:
        assert 0 <= pause.start < pause.end <= timeline.worked + 0.01
        assert 0 < pause.seconds <= pause.end - pause.start + 0.01


@given(st.floats(1, 1e6), st.integers(2, 400))
def test_the_width_doubles_as_the_job_grows(seconds: float, count: int) -> None:
    timeline = Timeline()
    for number in range(count):
        timeline.add(START + seconds * number / count, 1)
    assert timeline.width * MOST_BUCKETS > timeline.worked
    if timeline.width > Timeline().width:
        assert timeline.width * MOST_BUCKETS <= 2 * timeline.worked


def test_pairs_stand_where_they_came() -> None:
    timeline = Timeline()
    for at, pairs, failed in ((0.0, 5, 1), (0.1, 2, 0), (0.6, 1, 1)):
        timeline.add(START + at, pairs, failed)
    assert timeline.buckets == [Bucket(7, 1), Bucket(), Bucket(1, 1)]
    assert timeline.clock(0.5) == START + 0.5


def test_a_night_does_not_squeeze_two_days_into_two_buckets() -> None:
    timeline = Timeline()
    for day in (0, 86_400):
        timeline.resume(START + day)
        for second in range(60):
            timeline.add(START + day + second, 10)
    assert timeline.worked == pytest.approx(59 + 59)
    assert sum(bucket.pairs > 0 for bucket in timeline.buckets) > 100
    assert timeline.interruptions == [
        Interruption(position=59, seconds=86_400 - 59, until=START + 86_400)
    ]
    assert timeline.clock(59) == START + 59
    assert timeline.clock(60) == START + 86_400 + 1


@pytest.mark.parametrize(
    ("worked", "silence", "cut"),
    [(10, 170, False), (10, 190, True), (500, 450, False), (3600, 590, False), (3600, 610, True)],
)
def test_a_long_silence_is_an_interruption(worked: int, silence: int, *, cut: bool) -> None:
    timeline = Timeline()
    for second in range(0, worked + 1, 10):
        timeline.add(START + second, 1)
    timeline.add(START + worked + silence, 1)
    assert [away.seconds for away in timeline.interruptions] == ([silence] if cut else [])


def test_a_long_pause_is_none() -> None:
    timeline = Timeline()
    timeline.add(START, 1)
    timeline.pause(START + 1, 3600, Hold.OUTAGE)
    timeline.add(START + 3602, 1)
    assert timeline.interruptions == []
    assert timeline.pauses == [Pause(Hold.OUTAGE, 1, 3601, 3600)]


def test_pauses_that_overlap_are_one() -> None:
    timeline = Timeline()
    timeline.pause(START, 8, Hold.THROTTLE)
    timeline.pause(START + 2, 8, Hold.THROTTLE)
    timeline.pause(START + 5, 1, Hold.OUTAGE)
    timeline.pause(START + 20, 5, Hold.THROTTLE)
    assert timeline.pauses == [
        Pause(Hold.THROTTLE, 0, 10, 10),
        Pause(Hold.OUTAGE, 5, 6, 1),
        Pause(Hold.THROTTLE, 20, 25, 5),
    ]


def test_pauses_too_close_to_be_told_apart_are_one_and_last_as_long_as_both() -> None:
    timeline = Timeline()
    for minute in range(0, 6000, 30):
        timeline.pause(START + minute, 6, Hold.THROTTLE)
        timeline.add(START + minute + 10, 1)
    assert timeline.width > 24
    assert timeline.pauses == [Pause(Hold.THROTTLE, 0, 5976, 6 * 200)]


def test_a_clock_set_back_stays_in_its_own_run() -> None:
    timeline = Timeline()
    timeline.add(START, 1)
    timeline.resume(START + 1000)
    timeline.add(START + 500, 1)
    timeline.add(START + 1001, 1)
    assert timeline.worked == 1
    assert sum(bucket.pairs for bucket in timeline.buckets) == 3


def test_an_empty_one_has_no_time_of_day() -> None:
    with pytest.raises(ValueError, match="empty"):
        Timeline().clock(0)
