"""Progress of a job: a live display on a terminal, lines with a time stamp elsewhere.

Takes the job's events from `display`; `job_state` computes what is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import anyio
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from async_enroll.cli.console import ERR, note, printable, say
from async_enroll.cli.output.job_state import JobState, clock
from async_enroll.events import Event
from async_enroll.models import RequestWindow
from async_enroll.reports.words import line_of, name_of

_BAR = 40
_TICK = 0.2
_FIRST_LINE = 1.0
_FROZEN = 5.0
"""A tick that takes so many seconds longer than usual: the program was suspended."""


class _Screen:
    """The display: a bar, the times, the calls, what is waited for, and the outcomes so far."""

    def __init__(self, state: JobState) -> None:
        self._state = state

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        state, now, width = self._state, time.time(), options.max_width
        done = f"{state.done:,}/{state.pairs:,} enrollments"
        if state.pairs:
            row = Table.grid(padding=(0, 1))
            bar = max(8, min(_BAR, width - len(done) - 1))
            row.add_row(ProgressBar(state.pairs, state.done, width=bar), done)
            yield row
        yield from _flowing([Text(part) for part in state.times(now)], width)
        window = state.window
        calls = f"{state.in_window(now)}/{window.calls} calls in {window.seconds:g} s"
        yield from _flowing([Text(state.calls(now), "dim"), Text(calls, "dim")], width)
        for reason in state.waiting(now):
            yield Text(reason, "yellow")
        outcomes = [
            Text(f"{name_of(outcome)} {count:,}", "green" if outcome.ok else "red")
            for outcome, count in list(state.counts.items())
        ]
        yield from _flowing(outcomes, width)


def _flowing(parts: Iterable[Text], width: int) -> Iterator[Text]:
    """Parts side by side, in lines of at most `width`, broken between parts."""
    line = Text()
    for part in parts:
        if line and len(line) + 3 + len(part) > width:
            yield line
            line = Text()
        line = Text.assemble(line, " · " if line else "", part)
    if line:
        yield line


class JobProgress:
    """Displays the progress of a job. Call `tell` with each of its events.

    `quiet`: display nothing. `patience`, `settle`: seconds, as for the client. `every`: seconds
    between two lines if there is no terminal.
    """

    def __init__(
        self,
        window: RequestWindow,
        *,
        quiet: bool = False,
        patience: float = 300.0,
        settle: float = 60.0,
        every: float = 10.0,
    ) -> None:
        self.state: JobState = JobState(window, patience, settle)
        self._quiet = quiet
        self._every = every
        self._live = sys.stderr.isatty() and not quiet

    def tell(self, event: Event) -> None:
        """Record an event."""
        # Drawn later: up to ten thousand results a second arrive, for a few frames.
        self.state.take(event)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Display the bar while the body runs, on a terminal only."""
        if not self._live:
            yield
            self._show_failures()
            return
        with Live(_Screen(self.state), console=ERR, refresh_per_second=5):
            yield
            self._show_failures()

    async def report(self) -> None:
        """Print failures as they happen, and progress lines, until cancelled."""
        if self._quiet:
            return
        tick = min(_TICK, self._every)
        next_line = anyio.current_time() + min(_FIRST_LINE, self._every)
        while True:
            since = time.time()
            await anyio.sleep(tick)
            self._show_failures()
            away = time.time() - since - tick
            if away > _FROZEN:
                self.state.stood_still(away)
                self._line(f"this program stood still for {clock(away)}; ")
            elif not self._live and anyio.current_time() >= next_line:
                self._line()
            else:
                continue
            next_line = anyio.current_time() + self._every

    def _line(self, before: str = "") -> None:
        note(f"{_stamp()}{before}{self.state.sentence(time.time())}")

    def _show_failures(self) -> None:
        fresh = self.state.fresh_failures
        while fresh and not self._quiet:
            stamp = "" if self._live else _stamp()
            say(ERR, Text(f"{stamp}✗ ", "red").append(printable(line_of(fresh.popleft())), ""))


def _stamp() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S ")
