"""How far a job is, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from async_enroll.cli.console import ERR
from async_enroll.models import EnrollmentResult, Outcome


class _Pace(ProgressColumn):
    """The rate since the start: results come in bursts, which shorter averages would show."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        if not task.completed or not seconds or task.total is None:
            return Text()
        rate = task.completed / seconds
        left = (task.total - task.completed) / rate
        time = f"{_clock(seconds)} in all" if task.finished else f"{_clock(left)} left"
        return Text(f"{rate:,.0f}/s, {time}", "progress.data.speed")


def _clock(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))


class PairsProgress(Progress):
    """A bar of the pairs done, and below it what became of them; nothing if not on a terminal.

    A context manager: it shows while the block lasts.
    """

    def __init__(self, pairs: int) -> None:
        self._counts = dict.fromkeys(Outcome, 0)
        super().__init__(
            BarColumn(bar_width=28),
            TextColumn("{task.completed:,}/{task.total:,} pairs"),
            _Pace(),
            console=ERR,
            disable=not sys.stderr.isatty(),
        )
        self.add_task("pairs", total=pairs)

    def count(self, result: EnrollmentResult) -> None:
        """Take note of one more pair."""
        # Only noted: results come by the ten thousand a second, and are drawn ten times.
        self._counts[result.outcome] += 1

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn: the bar, the counts."""
        for task in self.task_ids:
            self.update(task, completed=sum(self._counts.values()))
        yield from super().get_renderables()
        yield Text(" · ").join(
            Text(f"{outcome.value} {count:,}", "green" if outcome.ok else "red")
            for outcome, count in self._counts.items()
            if count
        )
