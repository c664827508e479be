"""The journal of a running job: records its events, and gives the work that is left.

`jobs.jobs` opens it and takes the work for `jobs.runner`; the event log (`delivery.event_log`)
gives it every event. Reads and writes through `journal.store`, in threads.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import count, islice
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, evolve, field, fields_dict
from filelock import FileLock, Timeout
from msgspec.structs import replace

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.mailing import Changed, mails_at_once
from async_enroll.errors import ConfigurationError, JournalError
from async_enroll.events import BatchAnswered, BatchSent, BatchSettled, Event, JobDone
from async_enroll.journal.creation import create
from async_enroll.journal.database import path_of
from async_enroll.journal.recovery import changed_earlier, left
from async_enroll.journal.store import Description, LeftAlonePairs, Record, Store
from async_enroll.journal.threads import in_thread
from async_enroll.models import Batch, BatchLimits, identity_key
from async_enroll.planning.desired import Desired, Lines
from async_enroll.planning.validation import Work
from async_enroll.reports.summary import counted
from async_enroll.results import Block

_GATHERING = 0.005
"""For how many seconds records are collected to be written in one transaction."""

_AWAITED = (BatchSent, BatchSettled, JobDone)
"""Events that must be durable before the job proceeds. Losing others only costs lookups."""


def digest_of(desired: Desired, *options: object) -> str:
    """Return a digest of a roster and its options, the same for all spellings of an identifier."""
    assignments = [
        (one.course_id, one.action.value, one.cohort, one.auto_enroll)
        for one in desired.assignments
    ]
    digest = hashlib.sha256(ascii((options, assignments)).encode())
    shown: dict[tuple[int, ...], str] = {}  # many learners share their assignments
    learners = iter(desired.learners())
    while some := list(islice(learners, 1000)):
        lines = "".join(
            [
                identifier + (shown.get(numbers) or shown.setdefault(numbers, f" {numbers}\n"))
                for identifier, numbers in some
            ]
        )
        # What is between two identifiers stays as it is, and keeps them apart.
        digest.update(identity_key(lines).encode(errors="surrogatepass"))
    return digest.hexdigest()


@define(eq=False)
class _Entry:
    record: Record
    kept: anyio.Event = field(factory=anyio.Event)


class Journal:
    """An open journal. `new` is the work of a job that has not run before, else None."""

    def __init__(
        self,
        reader: Store,
        writer: Store,
        limits: BatchLimits,
        new: Sequence[Work] | None,
    ) -> None:
        self.description: Description = reader.description
        self._new = new
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._broken: JournalError | None = None
        self._planned: dict[int, tuple[Batch, int]] = {}
        self._entries: MemoryObjectSendStream[_Entry]
        self._received: MemoryObjectReceiveStream[_Entry]
        self._entries, self._received = anyio.create_memory_object_stream[_Entry](math.inf)

    @property
    def fresh(self) -> bool:
        """Whether the job has not run before."""
        return self._new is not None

    async def pending(self) -> int:
        """Return how many pairs have no result yet."""
        return await in_thread(self._reader.pending)

    async def rows(self) -> Desired:
        """Return the rows to enroll of a synced roster."""
        return await in_thread(self._reader.rows)

    async def finished(self) -> datetime:
        """Return when the last result was recorded, for a job without `pending` pairs."""
        return await in_thread(self._reader.finished)

    async def calls(self) -> int:
        """Return how many calls earlier runs have sent."""
        return await in_thread(self._reader.calls)

    async def last_sent(self) -> float | None:
        """Return when the last call was sent, as a Unix time; None if none was."""
        return await in_thread(self._reader.last_sent)

    async def mark_undone(self) -> None:
        """Mark the job as undone: from now on, `open_journal` refuses to continue it."""
        await in_thread(self._writer.mark_undone)

    async def record(self, event: Event) -> None:
        """Record an event; return once it is durable, if the job depends on that.

        Raises:
            JournalError: if the journal cannot be written.

        """
        if self._broken:
            raise self._broken
        if isinstance(event, BatchAnswered) and event.failure is None:
            return  # shows in the results
        for record in self._records(event):
            entry = _Entry(record)
            self._entries.send_nowait(entry)
        if isinstance(event, _AWAITED):
            await entry.kept.wait()
            if self._broken:
                raise self._broken

    async def work(self) -> AsyncGenerator[Work | Attempt | Changed]:
        """Yield the work that is left; in a fresh job, results of what cannot be sent first."""
        if self._new is not None:
            mail = self.description.email_students
            numbers = count(1)
            for item in self._new:
                if isinstance(item, Batch):
                    number = next(numbers)
                    self._planned[number] = item, item.pairs
                    yield Attempt(item, mails_at_once(mail, item), number)
                else:
                    yield item
            return
        yield await in_thread(self._reader.scope)
        async for remaining in self._left():
            yield remaining

    async def lost(self) -> AsyncGenerator[Attempt]:
        """Yield the attempts whose calls were in flight when the job ended."""
        async for item in self._left(sent=True):
            if isinstance(item, Attempt) and item.lost:
                yield item

    async def changed(self) -> AsyncGenerator[Changed]:
        """Yield the pairs that calls have changed, and whose learners the job was still to mail."""
        async for item in self._left(sent=True):
            if isinstance(item, Changed):
                yield item

    async def _left(self, *, sent: bool = False) -> AsyncGenerator[Attempt | Changed]:
        """Yield the work that is left; `sent`: only of batches that were sent in part."""
        mail = self.description.email_students
        after = 0
        while some := await in_thread(partial(self._reader.unfinished, after, sent=sent)):
            for one in some:
                after = one.number
                self._planned[one.number] = one.batch, one.batch.pairs - len(one.settled)
                whole = Attempt(one.batch, mails_at_once(mail, one.batch), one.number)
                if one.changed:
                    yield changed_earlier(one.number, one.changed, one.sendings, one.settled)
                if one.sendings or one.settled:
                    known = one.settled | {
                        (who, block.course_id) for block in one.changed for who in block.identifiers
                    }
                    attempts = left(whole, one.sendings, known, self._limits)
                else:
                    attempts = [whole]
                for attempt in attempts:
                    yield attempt

    async def earlier(self) -> AsyncGenerator[list[Block]]:
        """Yield the results of earlier runs."""
        if self.fresh:
            return
        yield await in_thread(self._reader.unsent)
        settled = self._reader.settled()
        while (some := await in_thread(next, settled, None)) is not None:
            yield some[2]

    def _records(self, event: Event) -> list[Record]:
        """Return the records of an event: one, or one for each batch with pairs in the call."""
        match event:
            case BatchSent(planned=int() as number):
                return [Record(event, self._planned[number][0])]
            case BatchSent():
                wholes = {number: self._planned.get(number) for number in event.changed_in}
                parts = [
                    (number, whole[0], _common(whole[0], event.batch))
                    for number, whole in wholes.items()
                    if whole
                ]
                return [
                    Record(replace(event, planned=number, batch=part), whole)
                    for number, whole, part in parts
                    if part.pairs
                ]
            case BatchSettled(planned=int() as number):
                # Forgotten once all its pairs are settled.
                batch, unsettled = self._planned.pop(number)
                if unsettled > event.pairs:
                    self._planned[number] = batch, unsettled - event.pairs
                return [Record(event, batch)]
        return [Record(event)]

    async def _write(self) -> None:
        """Write records until the last one, all that have come in since in one transaction."""
        async for first in self._received:
            entries = [first]
            # A commit costs more than this wait, and other calls often record at the same time.
            await anyio.sleep(_GATHERING)
            while self._received.statistics().current_buffer_used:
                entries.append(self._received.receive_nowait())
            if not self._broken:
                try:
                    records = [entry.record for entry in entries]
                    await in_thread(self._writer.write, records)
                except JournalError as error:
                    self._broken = error
            for entry in entries:
                entry.kept.set()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write records in the background while the body runs, and the rest afterwards."""
        stopped_by: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write_all)
            try:
                yield
            except Exception as error:  # noqa: BLE001  # raised below, not as one of a group
                stopped_by = error
            finally:
                self._entries.close()
        if stopped_by:
            raise stopped_by

    async def _write_all(self) -> None:
        # Shielded: results of a cancelled job are recorded, too.
        with anyio.CancelScope(shield=True), self._received:
            await self._write()


def _common(whole: Batch, other: Batch) -> Batch:
    """Return the pairs of a planned batch that another batch has as well."""
    courses, identifiers = set(other.courses), set(other.identifiers)
    return evolve(
        other,
        courses=tuple(key for key in whole.courses if key in courses),
        identifiers=tuple(who for who in whole.identifiers if who in identifiers),
    )


@asynccontextmanager
async def open_journal(
    path: str | os.PathLike[str],
    limits: BatchLimits,
    *,
    expected: str | None = None,
    new: Callable[[], tuple[Description, list[Work]]] | None = None,
    asked: Description | None = None,
    lines: Lines | None = None,
    rows: Desired | None = None,
    left_alone: Iterable[LeftAlonePairs] = (),
    undone: bool = False,
) -> AsyncIterator[Journal]:
    """Open a journal for the body of the `async with`, locked against other processes.

    Args:
        path: The journal's file.
        limits: How large calls may be from now on.
        expected: The digest that it must have; None for any.
        new: Makes the description and work of a new journal; None if the file must exist.
        asked: What the job would be if it were new, for words where the journal has another one.
        lines: The lines of the roster's file in which the pairs of a new journal stand.
        rows: The roster of a new journal, if it is of a sync.
        left_alone: The pairs that the job of a new journal, an undo, leaves alone.
        undone: Whether to open it also if its job was undone, which is not to be continued.

    Raises:
        ConfigurationError: if it is not a journal, belongs to another roster, or is in use.
        JournalError: if it cannot be written.

    """
    file = path_of(path)
    lock = FileLock(f"{file}.lock", mode=0o600, thread_local=False)
    needed = file if new is None else file.parent
    if not await in_thread(needed.exists):
        lacking = "such file" if new is None else f"directory {needed}"
        raise ConfigurationError(f"journal {file}: there is no {lacking}")
    try:
        try:
            await in_thread(lambda: lock.acquire(timeout=0))
        except Timeout:
            raise ConfigurationError(f"journal {file}: another process is at work on it") from None
        except OSError as error:
            raise ConfigurationError(
                f"journal {file}: cannot lock {lock.lock_file}: {error.strerror}"
            ) from None
        work: Sequence[Work] | None = None
        if new is not None and not await in_thread(file.exists):
            description, work = new()
            await in_thread(create, file, description, work, lines, rows, left_alone)
        # Two connections, since reading and writing run in two threads at once.
        async with _opened(file, writable=True) as writer, _opened(file) as reader:
            job = reader.description
            if expected not in (None, job.digest):
                asked = asked or (new()[0] if new else None)
                words = _differences(job, asked) if asked else "the roster differs"
                raise ConfigurationError(
                    f"journal {file}: belongs to another job, of {job.roster} on {job.site}: "
                    f"{words}; use the same roster, site and options, or a new journal"
                )
            if job.undone and not undone:
                raise ConfigurationError(
                    f"journal {file}: an undo of this job began on {job.undone}; use a new "
                    "journal to do it again"
                )
            journal = Journal(reader, writer, limits, work)
            async with journal.writing():
                yield journal
    finally:
        lock.release()


def _differences(job: Description, asked: Description) -> str:
    """What differs between the job of a journal and the one that was asked for, in words."""
    found = [
        f"{name} was {_shown(then)}, and is {_shown(now)}"
        for name, then, now in (
            ("the site", job.site, asked.site),
            ("e-mail to learners", job.email_students, asked.email_students),
            ("enrollment on registration", job.auto_enroll, asked.auto_enroll),
            ("the reason", job.reason, asked.reason),
        )
        if then != now
    ]
    if (job.sync is None) != (asked.sync is None):
        found.append("it was a sync, and is none" if job.sync else "it was no sync, and is one")
    elif job.sync and asked.sync:
        then, now = job.sync, asked.sync
        of_a_sync = {
            "email_removed": (then.email_removed, now.email_removed),
            **{
                name: (getattr(then.options, name), getattr(now.options, name))
                for name in fields_dict(type(now.options))
            },
        }
        found += [f"{name} differs" for name, (old, new) in of_a_sync.items() if old != new]
    elif job.pairs != asked.pairs:
        found.append(f"the roster had {counted(job.pairs, 'enrollment')}, and has {asked.pairs:,}")
    elif job.roster != asked.roster:
        found.append(f"the roster was {job.roster}, and is {asked.roster}")
    return "; ".join(found) or "the roster has changed"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


@asynccontextmanager
async def _opened(file: Path, *, writable: bool = False) -> AsyncIterator[Store]:
    opened: list[Store] = []
    try:
        await in_thread(lambda: opened.append(Store(file, writable=writable)))
        yield opened[0]
    finally:
        for store in opened:
            with anyio.CancelScope(shield=True):
                await in_thread(store.close)
