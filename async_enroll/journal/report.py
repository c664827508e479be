"""The report of a job, streamed from its journal, in bounded memory for jobs of any size.

Reads through `journal.store`; gives results and numbers to the commands of `cli` that report, and
to `reports`.
"""

from __future__ import annotations

import json
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
from async_enroll.results import Block, failing, pairs_in, unnotified


class JournalReport:
    """The results of a job so far, while it runs or afterwards.

    All methods block. A context manager: the journal is open for the body. ::

        with JournalReport("job.db") as report:
            for result in report.results():
                ...

    Raises:
        ConfigurationError: if the file is not a journal, has another format, or is damaged.
        JournalError: by its methods, if the file cannot be read later.

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
        """The number of pairs without a result."""
        return self._store.pending()

    def finished(self) -> datetime:
        """Return when the last result was recorded, for a job without `pending` pairs."""
        return self._store.finished()

    def results(self) -> Iterator[EnrollmentResult]:
        """Yield every result so far, once: pairs that could not be sent first, then by batch."""
        for block in self.blocks():
            yield from block

    def failures(self) -> Iterator[EnrollmentResult]:
        """Yield the results of the pairs that failed."""
        for block in self.blocks():
            yield from block.only(failing)

    def unnotified(self) -> Iterator[EnrollmentResult]:
        """Yield the results that succeeded, but whose learners may not have been notified."""
        for block in self.blocks():
            yield from block.only(unnotified)

    def blocks(self) -> Iterator[Block]:
        """Yield the results so far in blocks, in the order of `results`."""
        yield from self._store.unsent()
        for _, _, blocks in self._store.settled():
            yield from blocks

    def left_alone(self) -> Iterator[tuple[str, str, str]]:
        """Yield identifier, course key and reason of every pair that an undo leaves alone."""
        for why, course_id, identifiers in self._store.left_alone():
            yield from ((identifier, course_id, why) for identifier in json.loads(identifiers))

    def account(self) -> tuple[Summary, Timeline]:
        """Return a summary of the results so far, and a timeline of when they were recorded."""
        summary = Summary()
        summary.add(self._store.unsent())
        known: list[tuple[float, int, int]] = []
        for at, _, blocks in self._store.settled():
            summary.add(blocks)
            failed = pairs_in([block.only(failing) for block in blocks])
            known.append((at, pairs_in(blocks), failed))
        return summary, self._timeline(known)

    def _timeline(self, known: Iterable[tuple[float, int, int]]) -> Timeline:
        timeline = Timeline()
        # At the same moment, a pause comes before the results after it.
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
