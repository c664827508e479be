"""The event log of a job: each event goes to the journal, then to the log, then to `on_event`.

Takes events from `jobs.runner`, `delivery.delivery` and `delivery.dispatch`, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from async_enroll.errors import JournalError
from async_enroll.events import (
    BatchAnswered,
    BatchSplit,
    Continued,
    Event,
    JobDone,
    JobStarted,
    Paused,
    PlacesChecked,
    SharedWindowLost,
    SharedWindowRestored,
    Throttled,
)

_log = logging.getLogger("async_enroll")

OnEvent = Callable[[Event], object]
"""Called with every event. What it returns is ignored, what it raises is logged."""


class Recorder(Protocol):
    """Stores events durably, as `journal.Journal` does."""

    async def record(self, event: Event) -> None:
        """Store `event`; return once it is durable, if the job depends on that.

        Raises:
            JournalError: if it cannot be stored.

        """


class EventLog:
    """Records the events of one job: `recorder` first, then the log and `on_event`."""

    def __init__(
        self, job: int, recorder: Recorder | None = None, on_event: OnEvent | None = None
    ) -> None:
        self.job = job
        self.durable: bool = recorder is not None
        """Whether the job can be resumed: it has a recorder."""
        self._recorder = recorder
        self._on_event = on_event

    async def record(self, event: Event) -> None:
        """Record an event.

        Raises:
            JournalError: if the recorder fails; the event goes nowhere else then. Not raised for
                JobDone, which such a failure may have caused.

        """
        if self._recorder is not None:
            try:
                await self._recorder.record(event)
            except JournalError:
                if not isinstance(event, JobDone):
                    raise
            except asyncio.CancelledError:
                if isinstance(event, JobDone):  # the job has ended all the same
                    self._tell(event)
                raise
        self._tell(event)

    def _tell(self, event: Event) -> None:
        level = _LEVELS.get(type(event))
        if level is not None and _log.isEnabledFor(level):
            _write_log(event)
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        # A failing callback must not stop a job. Nothing is awaited here, so a CancelledError is
        # the callback's own as well.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            name = type(event).__name__
            # The message may name learners: DEBUG only.
            _log.error("on_event failed on a %s: %s", name, type(error).__name__)
            _log.debug("on_event failed on a %s", name, exc_info=error)


_LEVELS: dict[type[Event], int] = {
    JobStarted: logging.INFO,
    PlacesChecked: logging.DEBUG,
    BatchAnswered: logging.DEBUG,
    BatchSplit: logging.DEBUG,
    Throttled: logging.INFO,
    Paused: logging.WARNING,
    Continued: logging.WARNING,
    SharedWindowLost: logging.WARNING,
    SharedWindowRestored: logging.WARNING,
    JobDone: logging.WARNING,
}
"""The highest level at which each kind of event is logged. The others are not."""


def _write_log(event: Event) -> None:
    """Log an event. Above DEBUG: no identifiers, and nothing that happens once per call."""
    match event:
        case JobDone(error=None):
            _log.info("job %d: done", event.job)
        case JobDone():
            _log.warning("job %d: stopped: %s", event.job, event.error)
        case JobStarted():
            _log.info("job %d: %s pairs, %s done before", event.job, event.pairs, event.done)
        case PlacesChecked():
            checked, refused = event.checked, event.refused
            words = "job %d: %d of %d courses and cohorts checked, %d refused"
            _log.debug(words, event.job, checked, event.places, refused)
        case BatchAnswered(error=None):
            size, seconds = event.batch.pairs, event.seconds
            _log.debug("job %d, call %d: %d pairs, %.3f s", event.job, event.call, size, seconds)
        case BatchAnswered():
            _log.debug("job %d, call %d: %s", event.job, event.call, event.error)
        case BatchSplit():
            _log.debug("job %d: a batch of %d pairs is split", event.job, event.batch.pairs)
        case Throttled(seconds=None):
            _log.info("job %d: throttled", event.job)
        case Throttled():
            _log.info("job %d: throttled for %g s", event.job, event.seconds)
        case Paused():
            _log.warning("job %d: calls fail in a row; waiting for the platform", event.job)
        case Continued():
            _log.warning("job %d: the platform answers, after %.0f s", event.job, event.seconds)
        case SharedWindowLost():
            words = "the request window is our own until %s can be reached: %s"
            _log.warning(words, event.url, event.reason)
        case SharedWindowRestored():
            words = "the request window is that of %s again, after %.0f s"
            _log.warning(words, event.url, event.seconds)
