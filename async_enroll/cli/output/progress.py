"""How far a job is: drawn live on a terminal, told in lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import anyio
from attrs import define, field
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from async_enroll.cli.console import ERR, note, printable, say
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    Continued,
    Event,
    JobStarted,
    Paused,
    Throttled,
)
from async_enroll.models import EnrollmentResult, Outcome, RequestWindow
from async_enroll.results import failing

_FAILURES = 20
"""How many failures are shown as they happen; the account has the others."""


@define
class JobState:
    """How far a job is, folded from its events. Times are seconds since the epoch."""

    window: RequestWindow
    pairs: int = 0
    done: int = 0
    counts: Counter[Outcome] = field(factory=Counter)
    fresh_failures: deque[EnrollmentResult] = field(factory=deque)
    failed: int = 0
    paused: bool = False
    throttled_until: float = 0.0
    _earlier: int = 0
    _started: float = 0.0
    _sent: deque[float] = field(factory=deque)
    _in_flight: set[int] = field(factory=set)
    _calls: int = 0

    def take(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case JobStarted():
                self.pairs = event.pairs or self.pairs
                self.done = self._earlier = event.done or 0
                self._started = event.at
            case BatchSent():
                self._sent.append(event.at)
                self._in_flight.add(event.call)
                self._calls += 1
            case BatchAnswered():
                self._in_flight.discard(event.call)
            case BatchSettled():
                self._settle(event)
            case Throttled(seconds=float() as seconds):
                self.throttled_until = event.at + seconds
            case Paused():
                self.paused = True
            case Continued():
                self.paused = False

    def _settle(self, event: BatchSettled) -> None:
        self.done += event.pairs
        for block in event.blocks:
            for detail, count in block.runs():
                self.counts[detail.outcome] += count
            for result in block.only(failing):
                self.failed += 1
                if self.failed <= _FAILURES:
                    self.fresh_failures.append(result)

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        return len(self._in_flight)

    def in_window(self, now: float) -> int:
        """How many calls were sent within the last window."""
        while self._sent and self._sent[0] <= now - self.window.seconds:
            self._sent.popleft()
        return len(self._sent)

    def rate(self, now: float) -> float:
        """Pairs done in a second, since the start: they come in bursts."""
        return (self.done - self._earlier) / max(now - self._started, 1e-9)

    def seconds_left(self, now: float) -> float | None:
        """How long it will take at the measured rate, and at least, by the window."""
        here = self.done - self._earlier
        if not here or not self._calls:
            return None
        left = self.pairs - self.done
        calls_left = left * self._calls // here
        # The window takes so many more at once, and the others as it empties.
        free = self.window.calls - self.in_window(now)
        by_window = max(0, calls_left - free) / self.window.calls * self.window.seconds
        return max(left / self.rate(now), by_window)

    def sentence(self, now: float) -> str:
        """All of it in a line."""
        percent = 100 * self.done // self.pairs if self.pairs else 100
        left = self.seconds_left(now)
        parts = [
            f"{self.done:,} of {self.pairs:,} pairs ({percent} %)",
            f"{self.rate(now):,.0f}/s",
            *([f"{clock(left)} left"] if left is not None else []),
            f"{self.failed:,} not as asked",
            *self.waiting(now),
        ]
        return ", ".join(parts)

    def waiting(self, now: float) -> Iterator[str]:
        """What the job waits for, if anything."""
        if self.paused:
            yield "waiting for the platform to answer"
        elif self.throttled_until > now:
            yield f"throttled for {self.throttled_until - now:.0f} s"


def clock(seconds: float) -> str:
    """A time span, for people."""
    return str(timedelta(seconds=round(seconds)))


class _Bar(Progress):
    """A bar of the pairs done, and below it what the platform is doing, and the outcomes."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        super().__init__(
            BarColumn(bar_width=28),
            TextColumn("{task.completed:,}/{task.total:,} pairs"),
            TextColumn("{task.description}"),
            console=ERR,
        )
        self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, ten times a second."""
        state, now = self._state, time.time()
        left = state.seconds_left(now)
        pace = f"{state.rate(now):,.0f}/s, {clock(left)} left" if left is not None else ""
        for task in self.task_ids:
            self.update(task, total=state.pairs, completed=state.done, description=pace)
        yield from super().get_renderables()
        window = state.window
        calls = f"{state.in_window(now)}/{window.calls} calls in {window.seconds:g} s"
        line = [calls, f"{state.in_flight} in flight", *state.waiting(now)]
        yield Text(" · ".join(line), "dim")
        yield Text(" · ").join(
            Text(f"{outcome.value} {count:,}", "green" if outcome.ok else "red")
            for outcome, count in state.counts.items()
        )


class JobProgress:
    """Shows events of a job as they come: `tell` is to be called with each.

    `quiet`: show nothing. `every`: seconds between two lines, where there is no terminal.
    """

    def __init__(self, window: RequestWindow, *, quiet: bool = False, every: float = 10.0) -> None:
        self.state: JobState = JobState(window)
        self._quiet = quiet
        self._every = every
        self._live = sys.stderr.isatty() and not quiet

    def tell(self, event: Event) -> None:
        """Take note of an event."""
        # Only noted: results come by the ten thousand a second, and are drawn ten times.
        self.state.take(event)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bar, on a terminal, while the body lasts."""
        if not self._live:
            yield
            self._show_failures()
            return
        with _Bar(self.state):
            yield
            self._show_failures()

    async def report(self) -> None:
        """Show failures as they happen, and how far the job is, until cancelled."""
        next_line = anyio.current_time() + self._every
        while not self._quiet:
            await anyio.sleep(min(0.2, self._every))
            self._show_failures()
            if not self._live and anyio.current_time() >= next_line:
                note(self.state.sentence(time.time()))
                next_line += self._every

    def _show_failures(self) -> None:
        fresh = self.state.fresh_failures
        while fresh and not self._quiet:
            result = fresh.popleft()
            pair = printable(f"{result.identifier} in {result.course_id}")
            why = printable(f"{result.outcome.value}, {result.error}")
            say(ERR, Text("✗ ", "red").append(f"{pair}: {why}", ""))
