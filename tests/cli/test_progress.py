"""How far a job is, told from its events."""

import re
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from async_enroll.cli.output import progress
from async_enroll.cli.output.job_state import JobState
from async_enroll.cli.output.progress import JobProgress
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    Continued,
    Event,
    JobStarted,
    Paused,
    PlacesChecked,
    Throttled,
)
from async_enroll.http.failures import FailureKind
from async_enroll.models import Action, Batch, EnrollmentResult, Outcome, RequestWindow
from tests.blocks import block_of

COURSE = "course-v1:Org+C0+2026"
PEOPLE = tuple(f"learner{number}" for number in range(10))
BATCH = Batch(Action.ENROLL, (COURSE,), PEOPLE)
WINDOW = RequestWindow(2, 60)


def settled(at: float, outcome: Outcome = Outcome.ENROLLED) -> BatchSettled:
    results = tuple(
        EnrollmentResult(who, COURSE, Action.ENROLL, outcome, error="its words") for who in PEOPLE
    )
    return BatchSettled(job=1, at=at, planned=1, blocks=tuple(map(block_of, results)))


def sent(at: float, call: int) -> BatchSent:
    return BatchSent(job=1, at=at, planned=1, call=call, batch=BATCH, attempt=1, email=False)


def answered(at: float, call: int, failure: FailureKind | None = None) -> BatchAnswered:
    return BatchAnswered(
        job=1, at=at, planned=1, call=call, batch=BATCH, seconds=1, failure=failure
    )


def test_a_job_under_way() -> None:
    state = JobState(WINDOW)
    state.take(JobStarted(job=1, at=1000, pairs=120, done=20))
    assert state.seconds_left(1001) is None
    state.take(sent(1000, 1))
    state.take(sent(1001, 2))
    assert (state.in_flight, state.in_window(1001)) == (2, 2)
    state.take(answered(1010, 1))
    state.take(settled(1010))
    assert (state.in_flight, state.done, state.rate(1010)) == (1, 30, 1.0)
    state.take(answered(1020, 2))
    state.take(settled(1020, Outcome.REJECTED))
    assert state.failed == 10
    # Eighty pairs in eight calls: at the measured rate 80 s, but the window takes 2 a minute.
    assert state.seconds_left(1020) == 240
    assert state.in_window(1060.5) == 1


def test_a_job_in_a_sentence() -> None:
    state = JobState(WINDOW, begun=995)
    assert state.sentence(996) == (
        "0 of 0 enrollments (100 %), 0:00:01 elapsed, 0 failed, preparing"
    )
    state.take(JobStarted(job=1, at=1000, pairs=120, done=20))
    assert state.sentence(1001) == (
        "20 of 120 enrollments (16 %), 0:00:06 elapsed, 0 failed, "
        "checking courses and calls of the earlier run"
    )
    state.take(sent(1000, 1))
    state.take(sent(1004, 2))
    state.take(sent(1008, 3))
    assert state.calls(1010) == "3 calls in flight, the oldest for 10 s"
    state.take(answered(1010, 1))
    state.take(settled(1010))
    state.take(answered(1020, 2))
    assert state.sentence(1020) == (
        f"30 of 120 enrollments (25 %), 0:00:25 elapsed, 0.5/s, 0:14:00 left, 0 failed, "
        f"1 call in flight for 12 s, the window of 2 calls in 60 s is full until {moment(1060)}"
    )


def moment(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def test_what_a_job_waits_for() -> None:
    state = JobState(RequestWindow(), patience=600, settle=30)
    assert list(state.waiting(1000)) == ["preparing"]
    state.take(JobStarted(job=1, at=1000, pairs=120))
    assert list(state.waiting(1000)) == ["checking courses"]
    state.take(sent(1000, 1))
    assert list(state.waiting(1000)) == []
    state.take(Throttled(job=1, at=1000, call=1, seconds=30.0))
    assert list(state.waiting(1010)) == [f"throttled by the platform until {moment(1030)}"]
    assert list(state.waiting(1031)) == []
    state.take(Throttled(job=1, at=1032, call=1, seconds=None))
    words = "throttled by the platform, which does not say until when"
    assert list(state.waiting(1033)) == [words]
    state.take(sent(1034, 1))
    assert list(state.waiting(1034)) == []
    state.take(Paused(job=1, at=1040))
    state.take(Paused(job=1, at=1045))  # one for each call that waits
    (words,) = state.waiting(1041)
    assert words == f"the platform does not answer: trying again, until {moment(1640)}"
    state.take(Continued(job=1, at=1050, seconds=10))
    state.take(Continued(job=1, at=1050, seconds=5))
    assert list(state.waiting(1051)) == []
    state.take(answered(1055, 1))
    assert list(state.waiting(1055)) == ["waiting before the next call"]
    state.take(sent(1056, 1))
    state.take(answered(1060, 1, FailureKind.UNKNOWN))
    assert list(state.waiting(1061)) == [f"finding out what 1 lost call did, until {moment(1090)}"]
    state.take(sent(1090, 2))
    assert list(state.waiting(1091)) == []


def places_checked(checked: int, refused: int) -> PlacesChecked:
    return PlacesChecked(job=1, at=1001, places=1200, checked=checked, refused=refused)


def test_how_many_courses_are_checked() -> None:
    state = JobState(RequestWindow(), begun=1000)
    state.take(JobStarted(job=1, at=1000, pairs=120))
    state.take(places_checked(1100, 30))
    assert state.sentence(1002) == (
        "0 of 120 enrollments (0 %), 0:00:02 elapsed, 0 failed, "
        "checking courses: 1,100 of 1,200, 30 refused"
    )
    state.take(Throttled(job=1, at=1003, call=1, seconds=30.0))
    assert list(state.waiting(1004)) == [f"throttled by the platform until {moment(1033)}"]
    state.take(sent(1040, 1))  # a later one: all are checked
    assert list(state.waiting(1041)) == []
    state.take(places_checked(1100, 30))
    state.take(places_checked(1200, 31))
    assert list(state.waiting(1042)) == []


def test_a_lost_call_that_only_mails_is_not_looked_up() -> None:
    state = JobState(RequestWindow())
    state.take(JobStarted(job=1, at=1000, pairs=120))
    state.take(replace(sent(1001, 1), planned=None, changed_in=(1, 2)))
    assert list(state.waiting(1002)) == []
    state.take(replace(answered(1003, 1, FailureKind.UNKNOWN), planned=None))
    assert list(state.waiting(1004)) == ["waiting before the next call"]


def test_the_time_left_stands_still_in_a_pause() -> None:
    state = JobState(RequestWindow())
    state.take(JobStarted(job=1, at=1000, pairs=100))
    state.take(sent(1000, 1))
    state.take(answered(1010, 1))
    state.take(settled(1010))
    assert state.seconds_left(1010) == 90
    state.take(Paused(job=1, at=1020))
    assert state.seconds_left(1500) == 180
    assert "0:03:00 left once it answers" in state.times(1500)
    state.take(Continued(job=1, at=1520, seconds=500))
    assert state.seconds_left(1520) == 180
    state.stood_still(3600)
    assert state.seconds_left(1520 + 3600) == 180
    state.take(Throttled(job=1, at=5120, call=2, seconds=30.0))
    assert state.seconds_left(5120) == 210
    state.take(Throttled(job=1, at=5130, call=3, seconds=20.0))  # the same hold
    assert state.seconds_left(5140) == 190


times = st.floats(0, 1e4, allow_nan=False)
events = st.one_of(
    st.builds(lambda at, call: sent(at, call), times, st.integers(1, 5)),
    st.builds(lambda at, call: answered(at, call), times, st.integers(1, 5)),
    st.builds(lambda at, call: answered(at, call, FailureKind.UNKNOWN), times, st.integers(1, 5)),
    st.builds(lambda at: settled(at), times),
    st.builds(lambda at: Throttled(job=1, at=at, call=1, seconds=5.0), times),
    st.builds(lambda at: Paused(job=1, at=at), times),
    st.builds(lambda at: Continued(job=1, at=at, seconds=1.0), times),
)


@given(st.lists(events, max_size=30), times, times)
def test_in_a_pause_the_time_left_never_climbs(
    some: list[Event], later: float, even_later: float
) -> None:
    state = JobState(WINDOW, begun=0)
    state.take(JobStarted(job=1, at=0, pairs=1000))
    now = 0.0
    for event in sorted(some, key=lambda event: event.at):
        now = event.at
        state.take(event)
        assert state.sentence(now)
    first = now + later
    if state.down_since is None and state.held_until > first:
        even_later = min(even_later, 0.9 * (state.held_until - first))
    elif state.down_since is None:
        return
    left = state.seconds_left(first)
    assert (state.seconds_left(first + even_later) or 0) <= (left or 0) * (1 + 1e-9)


async def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    display = JobProgress(WINDOW, every=0.02)
    display.tell(JobStarted(job=1, pairs=20))
    display.tell(settled(1000.0, Outcome.ERROR))
    with display.shown(), anyio.move_on_after(0.1):
        await display.report()
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(f" ✗ learner0 in {COURSE}: failed on the platform: its words")
    assert sum("10 of 20 enrollments (50 %)" in line for line in told) >= 2
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in told)


async def test_after_a_freeze_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_FROZEN", 1.0)
    display = JobProgress(WINDOW, every=0.5)
    display.tell(JobStarted(job=1, pairs=20))
    with display.shown(), anyio.move_on_after(2.5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(display.report)
            await anyio.sleep(0.1)
            time.sleep(2.2)  # noqa: ASYNC251  # as a suspended program does
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert re.search("this program stood still for 0:00:0[2-9]; 0 of 20 enrollments", told[0])


async def test_the_first_failures_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    display = JobProgress(WINDOW)
    with display.shown():
        for number in range(5):
            display.tell(settled(1000.0 + number, Outcome.ERROR))
    assert capsys.readouterr().err.count("✗") == 20


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    display = JobProgress(WINDOW, quiet=True)
    with display.shown():
        display.tell(settled(1000.0, Outcome.ERROR))
    assert capsys.readouterr().err == ""
