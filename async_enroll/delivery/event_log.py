"""What happens in a job, told in order: to the journal first, then to whoever listens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from async_enroll.errors import JournalError
from async_enroll.events import (
    BatchAnswered,
    BatchSettled,
    BatchSplit,
    Continued,
    Event,
    JobDone,
    JobStarted,
    Paused,
    Throttled,
)

_log = logging.getLogger("async_enroll")

OnEvent = Callable[[Event], object]
"""Is called with every event; what it returns or raises does not matter."""


class Recorder(Protocol):
    """Keeps events for good."""

    async def record(self, event: Event) -> None:
        """Return when `event` is kept, as far as that matters.

        Raises:
            JournalError: where it cannot be.

        """


class EventLog:
    """The events of one job. `recorder` has kept an event before anybody hears of it."""

    def __init__(
        self, job: int, recorder: Recorder | None = None, on_event: OnEvent | None = None
    ) -> None:
        self.job = job
        self.durable: bool = recorder is not None
        """Whether the job can be gone on with later."""
        self._recorder = recorder
        self._on_event = on_event

    async def record(self, event: Event) -> None:
        """Tell everybody of an event.

        Raises:
            JournalError: where it cannot be recorded; nobody else is told then, except of a
                job's end, which that may be the cause of.

        """
        if self._recorder is not None:
            try:
                await self._recorder.record(event)
            except JournalError:
                if not isinstance(event, JobDone):
                    raise
        _write_log(event)
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        # Somebody else's code must not stop a job. Where nothing is awaited, not even a
        # CancelledError is the job's own.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            name = type(event).__name__
            # What it says may name people.
            _log.error("on_event failed on a %s: %s", name, type(error).__name__)
            _log.debug("on_event failed on a %s", name, exc_info=error)


def _write_log(event: Event) -> None:
    """Log an event; nobody's identifier, and nothing as often as calls are made, above DEBUG."""
    match event:
        case JobStarted():
            _log.info("job %d: %s pairs, %s done before", event.job, event.pairs, event.done)
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
        case JobDone(error=None):
            _log.info("job %d: done", event.job)
        case JobDone():
            _log.warning("job %d: stopped: %s", event.job, event.error)
        case BatchSettled():
            pass
