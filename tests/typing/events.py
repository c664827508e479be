"""What is told while a job is done."""

from typing import assert_never, assert_type

from async_enroll import EnrollmentResult
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    BatchSplit,
    Continued,
    Event,
    JobDone,
    JobStarted,
    Paused,
    PlacesChecked,
    Throttled,
)


def on_event(event: Event) -> None:
    assert_type(event.job, int)
    assert_type(event.at, float)
    match event:
        case JobStarted():
            assert_type(event.pairs, int | None)
        case PlacesChecked():
            assert_type(event.checked, int)
        case BatchSent() | BatchSplit():
            assert_type(event.batch.identifiers, tuple[str, ...])
        case BatchAnswered():
            assert_type(event.seconds, float)
            assert_type(event.status, int | None)
            assert_type(event.error, str | None)
        case BatchSettled():
            assert_type(event.results, tuple[EnrollmentResult, ...])
        case Throttled():
            assert_type(event.seconds, float | None)
        case Continued():
            assert_type(event.seconds, float)
        case Paused():
            pass
        case JobDone():
            assert_type(event.error, str | None)
        case _:
            assert_never(event)
