"""Receives a job's events: for the progress display now, for the report's timeline later."""

from __future__ import annotations

from async_enroll.cli.console import note, warn
from async_enroll.cli.output.progress import JobProgress
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    Continued,
    Event,
    JobStarted,
    SharedWindowLost,
    SharedWindowRestored,
    Throttled,
)
from async_enroll.http.failures import FailureKind
from async_enroll.models import RequestWindow
from async_enroll.reports.timeline import Hold, Timeline
from async_enroll.results import failing

_UNSENT = {FailureKind.UNREACHABLE, FailureKind.NO_TOKEN}


def tell_of_window(event: Event) -> None:
    """Say that the request window is no longer shared with other processes, or is again."""
    match event:
        case SharedWindowLost():
            warn(f"the request window is shared with no other process: {event.reason}")
        case SharedWindowRestored():
            note(f"the request window is shared again, after {event.seconds:.0f} s")


class JobDisplay:
    """Receives the events of one job.

    `begun`: whether it has started. A job that an earlier run finished never does.
    """

    def __init__(
        self,
        window: RequestWindow,
        *,
        quiet: bool,
        patience: float = 300.0,
        settle: float = 60.0,
    ) -> None:
        self.progress: JobProgress = JobProgress(
            window, quiet=quiet, patience=patience, settle=settle
        )
        self.timeline: Timeline = Timeline()
        self.begun: bool = False
        self._reached = False
        self._in_flight: set[int] = set()

    @property
    def sent(self) -> bool:
        """Whether a call with learners may have reached the platform."""
        return self._reached or bool(self._in_flight)

    def tell(self, event: Event) -> None:
        """Record an event."""
        self.progress.tell(event)
        tell_of_window(event)
        match event:
            case JobStarted():
                self.begun = True
                self.timeline.resume(event.at)
            case BatchSent():
                self._in_flight.add(event.call)
            case BatchAnswered():
                self._in_flight.discard(event.call)
                self._reached |= event.failure not in _UNSENT
            case BatchSettled():
                failed = sum(len(block.only(failing)) for block in event.blocks)
                self.timeline.add(event.at, event.pairs, failed)
            case Throttled(seconds=float() as seconds):
                self.timeline.pause(event.at, seconds, Hold.THROTTLE)
            case Continued():
                self.timeline.pause(event.at - event.seconds, event.seconds, Hold.OUTAGE)
