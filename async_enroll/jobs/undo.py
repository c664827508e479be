"""Plans the undo of a job: what takes its pairs back, and which pairs are left alone.

Reads the results of a journal, looks their pairs up with `jobs.enrolled`, and decides with
`planning.inverse`. `jobs.jobs` runs the plan as a job with a journal of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread
from attrs import evolve, field, frozen
from msgspec.structs import replace

from async_enroll.delivery.attempt import Attempt, Doubt
from async_enroll.delivery.mailing import unmailed
from async_enroll.delivery.outcomes import Pair, pairs, rejected
from async_enroll.errors import ConfigurationError, EnrollError, JobStopped
from async_enroll.jobs.enrolled import Pairs
from async_enroll.jobs.options import Signal
from async_enroll.jobs.runner import JobWork, NotSent
from async_enroll.jobs.sync import parts
from async_enroll.models import Batch, BatchLimits, Outcome
from async_enroll.planning.desired import Desired
from async_enroll.planning.inverse import Inverse, Left, LeftAlone, inverse_of, planned_inverse
from async_enroll.planning.plan import Plan
from async_enroll.planning.validation import Work
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.enrollments import Reader
from async_enroll.results import Block, pairs_in

if TYPE_CHECKING:
    from async_enroll.jobs.options import Options
    from async_enroll.journal import Description, Journal

T = TypeVar("T")


@frozen(eq=False)
class UndoPlan:
    """What undoing a job would do. It iterates as the pairs that are left alone, each with why.

    Attributes:
        plan: The calls that take pairs back.
        counts: The number of pairs left alone, by reason.
        not_sent: The number of pairs that the job has no result for: it never sent them, or was
            interrupted meanwhile.
        keep_cohort: The number of pairs that are unenrolled, but keep the cohort that the job has
            put them into, should they be enrolled again.

    """

    plan: Plan
    counts: Counter[LeftAlone]
    not_sent: int
    keep_cohort: int
    left_alone: Sequence[tuple[LeftAlone, str, str]] = field(repr=False)

    def __iter__(self) -> Iterator[tuple[str, str, LeftAlone]]:
        for why, course_id, identifiers in self.left_alone:
            for identifier in json.loads(identifiers):
                yield identifier, course_id, why

    def with_settled(self, blocks: Iterable[Block]) -> UndoPlan:
        """The plan, with pairs that had no result left alone: no result tells what was before."""
        left_alone = _LeftAlone()
        for block in blocks:
            left_alone.add(LeftAlone.UNKNOWN, block.course_id, block.identifiers)
        return evolve(
            self,
            counts=self.counts + left_alone.counts,
            not_sent=self.not_sent - left_alone.counts.total(),
            left_alone=[*self.left_alone, *left_alone.pairs],
        )

    @property
    def left_alone_in_words(self) -> list[tuple[str, str, str]]:
        """The pairs that are left alone, as a journal takes them."""
        return [(why.value, course_id, some) for why, course_id, some in self.left_alone]


def undo_journal_of(journal: str | os.PathLike[str]) -> Path:
    """The journal of an undo unless another is named: ``job.undo.db`` beside ``job.db``.

    Raises:
        ConfigurationError: if `journal` cannot be the path of a file.

    """
    from async_enroll.journal import path_of

    path = path_of(journal)
    return path.with_name(f"{path.stem}.undo{path.suffix}")


class _LeftAlone:
    """Collects the pairs that are left alone, in about the bytes of their identifiers."""

    def __init__(self) -> None:
        self.counts: Counter[LeftAlone] = Counter()
        self.pairs: list[tuple[LeftAlone, str, str]] = []

    def add(self, why: LeftAlone, course_id: str, identifiers: Sequence[str]) -> None:
        self.counts[why] += len(identifiers)
        self.pairs.append((why, course_id, json.dumps(identifiers)))


async def plan_undo(
    journal: Journal,
    reader: Reader,
    accounts: Accounts,
    limits: BatchLimits,
    *,
    name: str,
    concurrency: int,
) -> UndoPlan:
    """Plan the undo of a journal's job by what the platform shows now; changes nothing.

    Raises:
        EnrollError: if the platform cannot be asked.

    """
    undoable: Pairs[Inverse] = Pairs()
    left_alone = _LeftAlone()
    async for block in _results(journal):
        for detail, some in block.grouped():
            match inverse_of(block.action, detail):
                case Inverse() as inverse:
                    undoable.add(block.course_id, some, inverse)
                case why:
                    left_alone.add(why, block.course_id, some)
    desired = Desired()
    keep_cohort = 0
    looked_up = undoable.look_up(
        reader,
        accounts,
        concurrency=concurrency,
        asks_for_account=lambda inverse: inverse.left is Left.NOT_REGISTERED,
    )
    async with aclosing(looked_up):
        async for found in looked_up:
            kept: dict[LeftAlone, list[str]] = {}
            for pair in found:
                inverse = pair.subject
                if obstacle := inverse.obstacle(pair.seen):
                    kept.setdefault(obstacle, []).append(pair.identifier)
                    continue
                desired.add(
                    pair.identifier,
                    pair.course_id,
                    inverse.action,
                    inverse.cohort,
                    inverse.auto_enroll,
                )
                keep_cohort += inverse.keeps_cohort
            for obstacle, identifiers in kept.items():
                left_alone.add(obstacle, found[0].course_id, identifiers)
    plan = await to_thread.run_sync(lambda: Plan.of(desired, limits, source=f"undo of {name}"))
    without_result = await journal.pending() - sum(
        [pairs_in(unmailed(changed).final) async for changed in journal.changed()]
    )
    return UndoPlan(plan, left_alone.counts, without_result, keep_cohort, left_alone.pairs)


async def _results(journal: Journal) -> AsyncGenerator[Block]:
    """Yield the results of a job, and those of pairs whose learners it was still to mail."""
    async for blocks in journal.earlier():
        for block in blocks:
            yield block
    async for changed in journal.changed():
        for block in unmailed(changed).final:
            yield block


async def lost_calls(journal: Journal, seconds: float) -> list[Attempt]:
    """The attempts of an unfinished job that are to be looked up once, and not sent again.

    Waits until all calls must have ended: until `seconds`, the settling time, after the last was
    sent.
    """
    doubt = Doubt(EnrollError("the job was interrupted meanwhile"), Outcome.UNCONFIRMED)
    attempts = [replace(attempt, doubt=doubt) async for attempt in journal.lost()]
    last_sent = await journal.last_sent()
    if attempts and last_sent is not None:
        await anyio.sleep(max(0.0, min(seconds, last_sent + seconds - time.time())))
    return attempts


async def unless_stopped(stop: Signal | None, work: Callable[[], Awaitable[T]]) -> T:
    """Do work that sends nothing; cancel it once `stop` is set.

    Raises:
        JobStopped: if it was cancelled so.

    """
    if stop is None:
        return await work()
    done: list[T] = []
    broken: Exception | None = None

    async def watch() -> None:
        await stop.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            done.append(await work())
        except Exception as error:  # noqa: BLE001  # raised below, not as one of a group
            broken = error
        tasks.cancel_scope.cancel()
    if broken:
        raise broken
    if not done:
        raise JobStopped("the job was asked to stop")
    return done[0]


async def still_to_undo(
    work: AsyncIterator[JobWork],
    reader: Reader,
    accounts: Accounts,
    limits: BatchLimits,
    stop: Signal | None,
    *,
    concurrency: int,
) -> AsyncGenerator[JobWork]:
    """Yield what is left of an undo that is continued, as far as nothing has changed meanwhile.

    Looks up all pairs first. Others get a result: REJECTED, or what a lost call has done.

    Raises:
        JobStopped: if `stop` was set meanwhile.
        EnrollError: if the platform cannot be asked.

    """
    items = [item async for item in work]
    planned: Pairs[tuple[int, Inverse]] = Pairs()
    for number, item in enumerate(items):
        if isinstance(item, Attempt):
            for (identifier, course_id), one in _inverses(item.batch):
                planned.add(course_id, [identifier], (number, one))
    obstacles: dict[int, dict[Pair, LeftAlone]] = {}

    async def look_up() -> None:
        looked_up = planned.look_up(
            reader,
            accounts,
            concurrency=concurrency,
            asks_for_account=lambda subject: subject[1].left is Left.EITHER,
        )
        async with aclosing(looked_up):
            async for found in looked_up:
                for pair in found:
                    number, inverse = pair.subject
                    if why := inverse.obstacle(pair.seen):
                        obstacles.setdefault(number, {})[pair.identifier, pair.course_id] = why

    await unless_stopped(stop, look_up)
    for number, item in enumerate(items):
        if isinstance(item, Attempt) and number in obstacles:
            for part in _without(item, obstacles[number], limits):
                yield part
        else:
            yield item


def _inverses(batch: Batch) -> Iterator[tuple[Pair, Inverse]]:
    for pair in pairs(batch):
        identifier, course_id = pair
        cohort = batch.cohort_in(course_id)
        yield pair, planned_inverse(identifier, batch.action, cohort, batch.auto_enroll)


def _without(
    attempt: Attempt, obstacles: Mapping[Pair, LeftAlone], limits: BatchLimits
) -> Iterator[Attempt | NotSent]:
    """Divide an attempt into what is sent, and the rest."""
    left = [pair for pair in pairs(attempt.batch) if pair not in obstacles]
    yield from parts(attempt, left, limits)
    for why in dict.fromkeys(obstacles.values()):
        some = [pair for pair, other in obstacles.items() if other is why]
        words = f"not sent when the undo was continued: {why.value}"
        for part in parts(attempt, some, limits):
            if part.lost:  # it may be as asked by that call; it is not sent again
                yield replace(part, doubt=Doubt(EnrollError(words), Outcome.UNCONFIRMED))
            else:
                yield NotSent(part.planned, tuple(rejected(part, words)))


def undo_description(
    job: Description, made: UndoPlan, options: Options
) -> tuple[Description, list[Work]]:
    """Describe the job that undoes another, with its work."""
    from async_enroll.journal import Description, digest_of, now

    plan = made.plan
    flags, reason = (options.auto_enroll, options.email_students), options.reason
    digest = digest_of(plan.desired, job.site, *flags, reason, job.identity)
    described = Description(
        job.site, plan.source, plan.pairs, *flags, digest, now(), (), reason, undoes=job.identity
    )
    return described, plan.work


def check_apart(undo: Path, job: str | os.PathLike[str]) -> None:
    """Check that the journal of an undo is not that of the job.

    Raises:
        ConfigurationError: if it is.

    """
    if os.path.realpath(undo) == os.path.realpath(job):
        raise ConfigurationError(
            f"undo_journal {undo}: is the journal of the job itself; name another file"
        )


def check_undoes(undo: Journal, job: Journal, path: Path) -> None:
    """Check that a journal is that of the undo of a job.

    Raises:
        ConfigurationError: if it is not.

    """
    if undo.description.undoes != job.description.identity:
        raise ConfigurationError(
            f"journal {path}: belongs to another job; name another file for the journal of the undo"
        )
