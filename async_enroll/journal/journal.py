"""The journal of a job while it is at work: keeps events, gives what is left to do."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count, islice
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from filelock import FileLock, Timeout

from async_enroll.errors import ConfigurationError, JournalError
from async_enroll.events import BatchSent, BatchSettled, Event, JobDone
from async_enroll.fates import Block
from async_enroll.identity import identity_key
from async_enroll.intake import Work
from async_enroll.journal.recovery import left
from async_enroll.journal.store import Description, Record, Store, create
from async_enroll.journal.threads import in_thread
from async_enroll.models import Batch, BatchLimits
from async_enroll.parcel import Parcel
from async_enroll.wanted import Lines, Wanted

_GATHERING = 0.005
"""For how many seconds records are gathered before they are written together."""

_AWAITED = (BatchSent, BatchSettled, JobDone)
"""What must be kept before the job goes on; where the rest is lost, more is looked up."""


def digest_of(wanted: Wanted, *options: object) -> str:
    """Tells this roster, with these options, from all others, however its learners are spelled."""
    wishes = [(wish.course_id, wish.action.value, wish.cohort) for wish in wanted.wishes]
    digest = hashlib.sha256(ascii((options, wishes)).encode())
    shown: dict[tuple[int, ...], str] = {}  # many learners have the same wishes
    learners = iter(wanted.learners())
    while some := list(islice(learners, 1000)):
        lines = "".join(
            [
                identity_key(identifier)
                + (shown.get(numbers) or shown.setdefault(numbers, f" {numbers}\n"))
                for identifier, numbers in some
            ]
        )
        digest.update(lines.encode(errors="surrogatepass"))
    return digest.hexdigest()


@define(eq=False)
class _Entry:
    record: Record
    kept: anyio.Event = field(factory=anyio.Event)


class Journal:
    """An open journal; `new` is the work of one that no earlier run has worked on."""

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
        """Whether no earlier run has worked on it."""
        return self._new is not None

    async def pending(self) -> int:
        """How many pairs are not settled yet."""
        return await in_thread(self._reader.pending)

    async def finished(self) -> datetime:
        """When the last result became known, of a job without `pending` pairs."""
        return await in_thread(self._reader.finished)

    async def calls(self) -> int:
        """How many calls earlier runs have sent."""
        return await in_thread(self._reader.calls)

    async def record(self, event: Event) -> None:
        """Keep an event; return when it is kept for good, if the job depends on it.

        Raises:
            JournalError: where it cannot be kept.

        """
        if self._broken:
            raise self._broken
        entry = _Entry(Record(event, self._batch(event)))
        self._entries.send_nowait(entry)
        if isinstance(event, _AWAITED):
            await entry.kept.wait()
            if self._broken:
                raise self._broken

    async def work(self) -> AsyncGenerator[Work | Parcel]:
        """Give what is left to be done; in a fresh job, what cannot be sent comes first."""
        email = self.description.email_students
        if self._new is not None:
            numbers = count(1)
            for item in self._new:
                if isinstance(item, Batch):
                    number = next(numbers)
                    self._planned[number] = item, item.pairs
                    yield Parcel(item, email, number)
                else:
                    yield item
            return
        yield await in_thread(self._reader.scope)
        after = 0
        while some := await in_thread(self._reader.unfinished, after):
            for one in some:
                after = one.number
                self._planned[one.number] = one.batch, one.batch.pairs - len(one.settled)
                whole = Parcel(one.batch, email, one.number)
                if one.sendings or one.settled:
                    parcels = left(whole, one.sendings, one.settled, self._limits)
                else:
                    parcels = [whole]
                for parcel in parcels:
                    yield parcel

    async def earlier(self) -> AsyncGenerator[list[Block]]:
        """Give the results of earlier runs."""
        if self.fresh:
            return
        yield await in_thread(self._reader.unsent)
        settled = self._reader.settled()
        while (some := await in_thread(next, settled, None)) is not None:
            yield some[2]

    def _batch(self, event: Event) -> Batch | None:
        """The planned batch that an event is about; forgotten once all its pairs are settled."""
        if isinstance(event, BatchSent):
            return self._planned[event.planned][0]
        if not isinstance(event, BatchSettled) or event.planned is None:
            return None
        batch, unsettled = self._planned.pop(event.planned)
        if unsettled > event.pairs:
            self._planned[event.planned] = batch, unsettled - event.pairs
        return batch

    async def _write(self) -> None:
        """Write what has come in since the last time, in one transaction, again and again."""
        async for first in self._received:
            entries = [first]
            # Calls take seconds: others may have something to record in a moment.
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
    async def at_work(self) -> AsyncIterator[None]:
        """Write what is recorded, in the background, while the body lasts; then the rest."""
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
        # Also of a job that is cancelled: what came back is worth keeping.
        with anyio.CancelScope(shield=True), self._received:
            await self._write()


@asynccontextmanager
async def open_journal(
    path: str | os.PathLike[str],
    limits: BatchLimits,
    *,
    expected: str | None = None,
    new: Callable[[], tuple[Description, list[Work]]] | None = None,
    lines: Lines | None = None,
) -> AsyncIterator[Journal]:
    """Open a journal for the body of the `async with`, locked against other processes.

    Args:
        path: Its file.
        limits: How large calls may be from now on.
        expected: The digest that it must have; None for any.
        new: What a new one is made from; None where there must be one.
        lines: Where in the roster's file the pairs of a new one stand.

    Raises:
        ConfigurationError: where it is no journal, of another roster, or in use.
        JournalError: where it cannot be written.

    """
    file = Path(path)
    lock = FileLock(f"{file}.lock", mode=0o600, thread_local=False)
    needed = file if new is None else file.parent
    if not await in_thread(needed.exists):
        raise ConfigurationError(f"journal {file}: there is no {needed}")
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
            await in_thread(create, file, description, work, lines)
        # Two connections, since two threads are at work at once.
        async with _opened(file, writable=True) as writer, _opened(file) as reader:
            job = reader.description
            if expected not in (None, job.digest):
                raise ConfigurationError(
                    f"journal {file}: belongs to another job, of {job.roster} on {job.site}; "
                    "expected the same roster, site and options"
                )
            journal = Journal(reader, writer, limits, work)
            async with journal.at_work():
                yield journal
    finally:
        lock.release()


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
