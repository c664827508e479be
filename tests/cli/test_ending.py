"""How a command ends that has sent something, and one that has not."""

from collections.abc import Iterable

import pytest

from async_enroll import Action, ConfigurationError, EnrollError, RequestWindow
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus, ending
from async_enroll.cli.output.running import once_sent
from async_enroll.events import BatchAnswered, BatchSent, Event, JobStarted
from async_enroll.http.failures import FailureKind
from async_enroll.models import Batch

BATCH = Batch(Action.ENROLL, ("c1",), ("jane",))
STARTED = JobStarted(job=1, pairs=1)
SENT = BatchSent(job=1, planned=1, call=1, batch=BATCH, attempt=1, email=False)


def answered(kind: FailureKind | None) -> Event:
    return BatchAnswered(job=1, planned=1, call=1, batch=BATCH, seconds=0.1, failure=kind)


def ended(error: EnrollError, events: Iterable[Event]) -> ExitStatus:
    """How a job ends that this error stops after these events."""
    display = JobDisplay(RequestWindow(), quiet=True)

    def command() -> ExitStatus:
        with once_sent(display):
            for event in events:
                display.tell(event)
            raise error

    return ending(command)


@pytest.mark.parametrize("kind", [None, *FailureKind])
def test_what_was_sent_decides(
    kind: FailureKind | None, capsys: pytest.CaptureFixture[str]
) -> None:
    unsent = kind in (FailureKind.UNREACHABLE, FailureKind.NO_TOKEN)
    expected = ExitStatus.UNUSABLE if unsent else ExitStatus.STOPPED
    events: list[Event] = [STARTED, SENT, answered(kind)]
    assert ended(ConfigurationError("change the URL"), events) == expected
    assert capsys.readouterr().err == "error: change the URL\n"
    assert ended(EnrollError("it stopped"), events) == expected


@pytest.mark.parametrize("events", [[], [STARTED]])
def test_nothing_was_sent(events: list[Event]) -> None:
    assert ended(ConfigurationError("no URL"), events) == ExitStatus.UNUSABLE
    assert ended(EnrollError("no connection"), events) == ExitStatus.UNUSABLE


def test_a_call_that_is_cut_off_may_have_been_sent() -> None:
    assert ended(ConfigurationError("no URL"), [STARTED, SENT]) == ExitStatus.STOPPED


def test_calls_that_were_not_sent_undo_none_that_were() -> None:
    events = [answered(None), answered(FailureKind.UNREACHABLE)]
    assert ended(ConfigurationError("change the URL"), events) == ExitStatus.STOPPED
