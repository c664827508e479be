"""The state of a running job in numbers and words, computed from its events. No I/O.

`progress` shows it. Times are in seconds since the epoch.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import timedelta

from attrs import define, field

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
from async_enroll.models import EnrollmentResult, Outcome, RequestWindow
from async_enroll.reports.summary import counted
from async_enroll.results import failing

_FAILURES = 20
"""How many failures are printed as they happen. The final output has the others."""

_LOST = {FailureKind.UNKNOWN, FailureKind.MASKED}
"""Failures after which a call's outcome has to be found out."""


@define
class JobState:
    """Progress of a job.

    `window`: the platform's throttle. `patience`, `settle`: seconds, as for the client. `begun`:
    when the command began.
    """

    window: RequestWindow
    patience: float = 300.0
    settle: float = 60.0
    begun: float = field(factory=time.time)
    pairs: int = 0
    done: int = 0
    counts: Counter[Outcome] = field(factory=Counter)
    fresh_failures: deque[EnrollmentResult] = field(factory=deque)
    failed: int = 0
    held_until: float = 0.0
    down_since: float | None = None
    _earlier: int = 0
    _started: float | None = None
    _sent: deque[float] = field(factory=deque)
    _in_flight: dict[int, tuple[float, int]] = field(factory=dict)
    _lost: dict[int, float] = field(factory=dict)
    _calls: int = 0
    _idle: float = 0.0
    _held_since: float = 0.0
    _throttled: bool = False
    _checked: PlacesChecked | None = None

    def take(self, event: Event) -> None:
        """Update the state with an event."""
        match event:
            case JobStarted():
                self.pairs = event.pairs or self.pairs
                self.done = self._earlier = event.done or 0
                self._started = event.at
            case PlacesChecked():
                self._throttled = False
                self._checked = event if event.checked < event.places else None
            case BatchSent():
                self._checked = None
                self._sent.append(event.at)
                self._in_flight[event.call] = event.at, event.batch.pairs
                if event.planned is not None:
                    self._lost.pop(event.planned, None)
                self._throttled = False
                self._calls += 1
            case BatchAnswered():
                self._in_flight.pop(event.call, None)
                # Nobody looks for the outcome of a call that only mails, the one without a number.
                if event.failure in _LOST and event.planned is not None:
                    self._lost[event.planned] = event.at
            case BatchSettled():
                self._settle(event)
            case Throttled(seconds=float() as seconds):
                if self.held_until <= event.at:
                    self._held_since = event.at
                self.held_until = max(self.held_until, event.at + seconds)
            case Throttled():
                self._throttled = True
            case Paused() if self.down_since is None:
                self.down_since = event.at
            case Continued() if self.down_since is not None:
                self._idle += event.at - self.down_since
                self.down_since = None

    def stood_still(self, seconds: float) -> None:
        """The whole program was suspended, as on a laptop that sleeps: no time of the job."""
        self._idle += seconds

    def _settle(self, event: BatchSettled) -> None:
        self.done += event.pairs
        if event.planned is not None:
            self._lost.pop(event.planned, None)
        for block in event.blocks:
            for detail, count in block.runs():
                self.counts[detail.outcome] += count
            for result in block.only(failing):
                self.failed += 1
                if self.failed <= _FAILURES:
                    self.fresh_failures.append(result)

    @property
    def in_flight(self) -> int:
        """The number of calls in flight."""
        return len(self._in_flight)

    def in_window(self, now: float) -> int:
        """The number of calls sent within the last window."""
        while self._sent and self._sent[0] <= now - self.window.seconds:
            self._sent.popleft()
        return len(self._sent)

    def rate(self, now: float) -> float:
        """Pairs per second of working time, averaged because results arrive in bursts.

        It stands still while the platform is down, or calls are held.
        """
        started = self.begun if self._started is None else self._started
        if self.down_since is not None:
            now = self.down_since
        elif self.held_until > now:
            now = self._held_since
        return (self.done - self._earlier) / max(now - started - self._idle, 1e-9)

    def seconds_left(self, now: float) -> float | None:
        """The time left, in seconds: at the measured rate, but no less than the window allows."""
        here = self.done - self._earlier
        if not here or not self._calls:
            return None
        left = self.pairs - self.done
        calls_left = left * self._calls // here
        # The window admits so many calls at once, and the others as it empties.
        free = self.window.calls - self.in_window(now)
        by_window = max(0, calls_left - free) / self.window.calls * self.window.seconds
        return max(0.0, self.held_until - now) + max(left / self.rate(now), by_window)

    def sentence(self, now: float) -> str:
        """The progress in one line."""
        percent = 100 * self.done // self.pairs if self.pairs else 100
        parts = [
            f"{self.done:,} of {counted(self.pairs, 'enrollment')} ({percent} %)",
            *self.times(now),
            f"{self.failed:,} failed",
            *([self.calls(now)] if self.in_flight else []),
            *self.waiting(now),
        ]
        return ", ".join(parts)

    def times(self, now: float) -> Iterator[str]:
        """The elapsed time, the rate and the time left, as far as they are known."""
        yield f"{clock(now - self.begun)} elapsed"
        left = self.seconds_left(now)
        if self.done > self._earlier:
            rate = self.rate(now)
            yield f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        if left is not None:
            yield f"{clock(left)} left" + (" once it answers" if self.down_since else "")

    def calls(self, now: float) -> str:
        """How many calls are in flight, and for how long the oldest has been."""
        calls = list(self._in_flight.values())  # another thread draws
        if not calls:
            return "no call in flight"
        oldest = now - min(at for at, _ in calls)
        if len(calls) == 1:
            return f"1 call in flight for {oldest:.0f} s"
        return f"{counted(len(calls), 'call')} in flight, the oldest for {oldest:.0f} s"

    def waiting(self, now: float) -> Iterator[str]:
        """What the job is waiting for, if not for calls in flight, and until when."""
        if self._started is None:
            yield "preparing"
        elif self.down_since is not None:
            yield (
                "the platform does not answer: trying again, "
                f"until {_moment(self.down_since + self.patience)}"
            )
        elif self.held_until > now:
            yield f"throttled by the platform until {_moment(self.held_until)}"
        elif self._throttled:
            yield "throttled by the platform, which does not say until when"
        elif checked := self._checked:
            yield (
                f"checking courses: {checked.checked:,} of {checked.places:,}, "
                f"{checked.refused:,} refused"
            )
        elif self.done < self.pairs and not (self._calls or self.counts):
            earlier = " and calls of the earlier run" if self._earlier else ""
            yield f"checking courses{earlier}"
        elif self._is_window_full(now):
            yield (
                f"the window of {counted(self.window.calls, 'call')} in {self.window.seconds:g} s "
                f"is full until {_moment(self._sent[0] + self.window.seconds)}"
            )
        elif not (self._in_flight or self._lost) and self.done < self.pairs:
            yield "waiting before the next call"
        lost = list(self._lost.values())
        if lost and self.down_since is None:
            yield (
                f"finding out what {counted(len(lost), 'lost call')} did, "
                f"until {_moment(max(lost) + self.settle)}"
            )

    def _is_window_full(self, now: float) -> bool:
        """Whether pairs are left that no call carries, for want of room in the window."""
        carried = sum(pairs for _, pairs in list(self._in_flight.values()))
        return self.in_window(now) >= self.window.calls and self.done + carried < self.pairs


def clock(seconds: float) -> str:
    """A duration, as in ``0:04:00``."""
    return str(timedelta(seconds=round(seconds)))


def _moment(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
