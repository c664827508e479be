"""The report of a job of any size, read from its journal: streamed, never held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

from async_enroll.journal.database import path_of
from async_enroll.journal.store import THROTTLED, Description, Store
from async_enroll.models import EnrollmentResult
from async_enroll.reports.summary import Summary
from async_enroll.reports.timeline import Hold, Timeline
from async_enroll.results import Block, ResultDetail, failing, pairs_in, unnotified


class JournalReport:
    """What became of the pairs of a job so far, while it is at work or after. Blocks.

    A context manager: it has the journal open for the body. ::

        with JournalReport("job.db") as report:
            for result in report.results():
                ...

    Raises:
        ConfigurationError: where the file is no journal, of another format, or not whole.
        JournalError: by its methods, where what it holds cannot be read.

    """

    def __init__(self, journal: str | os.PathLike[str]) -> None:
        self._store = Store(path_of(journal))
        self.description: Description = self._store.description

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._store.close()

    @property
    def pending(self) -> int:
        """How many pairs have no result yet."""
        return self._store.pending()

    def finished(self) -> datetime:
        """When the last result became known, of a job without `pending` pairs."""
        return self._store.finished()

    def results(self) -> Iterator[EnrollmentResult]:
        """Every result so far, once: of what could not be sent, then batch by batch."""
        for block in self._blocks():
            yield from block

    def failures(self) -> Iterator[EnrollmentResult]:
        """The results of the pairs that are not as they were asked to be."""
        for block in self._blocks():
            yield from block.only(failing)

    def unnotified(self) -> Iterator[EnrollmentResult]:
        """The results of the pairs that are as asked, whose learners may not have been notified."""
        for block in self._blocks():
            yield from block.only(unnotified)

    def _blocks(self) -> Iterator[Block]:
        yield from self._store.unsent()
        for _, _, blocks in self._store.settled():
            yield from blocks

    def with_cohorts(
        self, like: Callable[[ResultDetail], bool]
    ) -> Iterator[tuple[EnrollmentResult, str | None]]:
        """The results so far of such fates, and the cohort that was asked for."""
        for block in self._store.unsent():
            yield from ((result, None) for result in block.only(like))
        for _, batch, blocks in self._store.settled():
            names = batch.cohorts or [None] * len(batch.courses)
            cohort_in = dict(zip(batch.courses, names, strict=True))
            for block in blocks:
                cohort = cohort_in[block.course_id]
                yield from ((result, cohort) for result in block.only(like))

    def account(self) -> tuple[Summary, Timeline]:
        """The results so far in a few numbers, and when they became known."""
        summary = Summary()
        summary.add(self._store.unsent())
        known: list[tuple[float, int, int]] = []
        for at, _, blocks in self._store.settled():
            summary.add(blocks, at)
            failed = pairs_in([block.only(failing) for block in blocks])
            known.append((at, pairs_in(blocks), failed))
        return summary, self._timeline(known)

    def _timeline(self, known: Iterable[tuple[float, int, int]]) -> Timeline:
        timeline = Timeline()
        # What holds a job up is add_pause before what comes after it.
        happened: list[tuple[float, int, Callable[[], None]]] = [
            (run.started, 0, partial(timeline.resume, run.started)) for run in self._store.runs()
        ]
        for pause in self._store.pauses():
            hold = Hold.THROTTLE if pause.reason == THROTTLED else Hold.OUTAGE
            add_pause = partial(timeline.pause, pause.at, pause.seconds, hold)
            happened.append((pause.at, 1, add_pause))
        for at, pairs, failed in known:
            happened.append((at, 2, partial(timeline.add, at, pairs, failed)))
        for _, _, add in sorted(happened, key=lambda one: one[:2]):
            add()
        return timeline
