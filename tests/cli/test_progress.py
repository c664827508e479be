"""How far a job is, told from its events."""

import anyio
import pytest

from async_enroll.cli.output.progress import JobProgress, JobState
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    Continued,
    JobStarted,
    Paused,
    Throttled,
)
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


def answered(at: float, call: int) -> BatchAnswered:
    return BatchAnswered(job=1, at=at, planned=1, call=call, batch=BATCH, seconds=1)


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
    assert state.sentence(1020) == "40 of 120 enrollments (33 %), 1/s, 0:04:00 left, 10 failed"
    assert state.in_window(1060.5) == 1


def test_what_a_job_waits_for() -> None:
    state = JobState(WINDOW)
    state.take(Throttled(job=1, at=1000, call=1, seconds=30.0))
    assert list(state.waiting(1010)) == ["throttled for 20 s"]
    assert list(state.waiting(1031)) == []
    state.take(Paused(job=1, at=1040))
    assert list(state.waiting(1041)) == ["waiting for the platform to answer"]
    state.take(Continued(job=1, at=1050, seconds=10))
    assert list(state.waiting(1051)) == []


async def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = JobProgress(WINDOW, every=0.02)
    progress.tell(JobStarted(job=1, pairs=20))
    progress.tell(settled(1000.0, Outcome.ERROR))
    with progress.shown(), anyio.move_on_after(0.1):
        await progress.report()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"✗ learner0 in {COURSE}: error, its words"
    assert sum("10 of 20 enrollments (50 %)" in line for line in told) >= 2


async def test_the_first_failures_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    progress = JobProgress(WINDOW)
    with progress.shown():
        for number in range(5):
            progress.tell(settled(1000.0 + number, Outcome.ERROR))
    assert capsys.readouterr().err.count("✗") == 20


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    progress = JobProgress(WINDOW, quiet=True)
    with progress.shown():
        progress.tell(settled(1000.0, Outcome.ERROR))
    assert capsys.readouterr().err == ""
