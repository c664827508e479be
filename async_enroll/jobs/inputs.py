"""Turns the iterables that callers pass in, plain or asynchronous, into work.

Gives a stream of work (batches, and results of pairs that cannot be sent) to `jobs.jobs`, which
hands it to `jobs.runner`. Planning itself is in `planning.plan` and `planning.validation`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from itertools import islice
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import anyio.lowlevel
from anyio import to_thread

from async_enroll.cancellation import is_cancelled
from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.models import Action, BatchLimits, RosterEntry
from async_enroll.planning.desired import Lines
from async_enroll.planning.validation import CrossProduct, RosterIntake, Work

if TYPE_CHECKING:
    from async_enroll.planning.diff import RosterDiff
    from async_enroll.planning.plan import Plan
    from async_enroll.roster import Roster

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
AnyIterable = Iterable[T] | AsyncIterable[T]

_LISTS = (list, tuple)
_CHUNK = 1024
"""How many items of a plain iterable are read before other tasks get a chance to run."""


class AtOnce(AsyncIterator[T_co]):
    """Iterates over what `make` gives once the first item is asked for.

    For what need not be waited for: an asynchronous generator costs several times as much.
    """

    def __init__(self, make: Callable[[], Iterable[T_co]]) -> None:
        self._make = make
        self._left: Iterator[T_co] | None = None

    async def __anext__(self) -> T_co:
        if self._left is None:
            self._left = iter(self._make())
        for item in self._left:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Do nothing, where a generator would be closed."""


def cross_product(
    action: Action,
    identifiers: AnyIterable[str],
    courses: AnyIterable[str],
    cohorts: Mapping[str, str] | None,
    limits: BatchLimits,
) -> AsyncGenerator[Work] | AtOnce[Work]:
    """Iterate over the work of every identifier in every course, while the identifiers are read.

    Raises:
        ConfigurationError: while iterating, before the first item, if there are no courses.

    """
    if _is_short(identifiers) and _is_short(courses):

        def work() -> list[Work]:
            intake = CrossProduct(action, courses, cohorts, limits)
            return [intake.scope, *intake.feed(identifiers), *intake.flush()]

        return AtOnce(work)
    return _cross_product(action, identifiers, courses, cohorts, limits)


async def _cross_product(
    action: Action,
    identifiers: AnyIterable[str],
    courses: AnyIterable[str],
    cohorts: Mapping[str, str] | None,
    limits: BatchLimits,
) -> AsyncGenerator[Work]:
    keys = [key async for some in in_lists(courses, "courses") for key in some]
    intake = CrossProduct(action, keys, cohorts, limits)
    yield intake.scope
    async for some in in_lists(identifiers, "identifiers"):
        for work in intake.feed(some):
            yield work
    for work in intake.flush():
        yield work


async def plan_of(roster: AnyIterable[RosterEntry], limits: BatchLimits) -> Plan:
    """Read a whole roster and return its plan.

    Raises:
        RosterError: if entries contradict each other.
        ConfigurationError: if it is a path, a table or a mapping instead of entries.

    """
    # Imported here, as in `roster_of`: calls with lists of identifiers need no rosters.
    from async_enroll.planning.plan import Plan

    if isinstance(roster, Plan):
        return roster
    found = await roster_of(roster)
    return await to_thread.run_sync(
        lambda: Plan.of(
            found.desired,
            limits,
            source=found.source,
            skipped=found.skipped,
            lines=found.lines or None,
        )
    )


async def roster_of(roster: AnyIterable[RosterEntry] | RosterDiff) -> Roster:
    """Read a whole roster; that of a plan or a diff is known. Raises as `plan_of`."""
    if isinstance(roster, str | bytes | os.PathLike):
        raise ConfigurationError(
            f"roster is a {type(roster).__name__}; expected RosterEntry objects: "
            "Roster.read(path) reads them from a file"
        )
    if isinstance(roster, Mapping) or _is_table(roster):
        raise ConfigurationError(
            f"roster is a {type(roster).__name__}; expected RosterEntry objects: make one of each "
            "row, or write a file and use Roster.read(path)"
        )
    from async_enroll.planning.diff import RosterDiff
    from async_enroll.planning.plan import Plan
    from async_enroll.roster import Roster

    if isinstance(roster, Roster):
        return roster
    if isinstance(roster, Plan | RosterDiff):
        return Roster(roster.source, roster.desired, roster.skipped, lines=roster.lines or Lines())
    intake = RosterIntake()
    async for entry in each(roster, "roster"):
        intake.feed(entry)
    return Roster("entries", intake.desired)


async def each(items: AnyIterable[T], name: str) -> AsyncIterator[T]:
    """Iterate over a plain or an asynchronous iterable. Raises as `in_lists`."""
    async for some in in_lists(items, name):
        for item in some:
            yield item


def in_lists(items: AnyIterable[T], name: str) -> AsyncIterator[list[T]]:
    """Iterate over items in lists, as they become available; other tasks run in between.

    Raises:
        ConfigurationError: at once, if `items` is a string, a table or not iterable.
        EnrollError: while iterating, if the source was cancelled, but the caller was not.

    """
    if isinstance(items, str | bytes):
        raise ConfigurationError(f"{name} is a single {type(items).__name__}; expected a list")
    if _is_table(items) or not isinstance(items, Iterable | AsyncIterable):
        raise ConfigurationError(f"{name} is a {type(items).__name__}; expected a list")
    if isinstance(items, AsyncIterable):
        return _uncancelled(_one_by_one(items), name)
    return _in_lists(items)


def _is_short(items: AnyIterable[T]) -> TypeGuard[list[T] | tuple[T, ...]]:
    """Whether it is a list or a tuple that can be read at once."""
    return isinstance(items, _LISTS) and len(items) <= _CHUNK


def _is_table(items: object) -> bool:
    """Whether it is some DataFrame: they iterate over columns, not over rows."""
    return hasattr(type(items), "columns") and hasattr(type(items), "shape")


async def _uncancelled(lists: AsyncIterator[list[T]], name: str) -> AsyncIterator[list[T]]:
    while True:
        try:
            some = await anext(lists, None)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            words = f"the source of the {name} was cancelled; the job was not"
            raise EnrollError(words) from None
        if some is None:
            return
        yield some


async def _one_by_one(items: AsyncIterable[T]) -> AsyncIterator[list[T]]:
    async for item in items:
        yield [item]


async def _in_lists(items: Iterable[T]) -> AsyncIterator[list[T]]:
    left = iter(items)
    broken: Exception | None = None
    while broken is None:
        some: list[T] = []
        try:
            some.extend(islice(left, _CHUNK))
        except Exception as error:  # noqa: BLE001  # raised after the items read before it
            broken = error
        if some:
            yield some
        if len(some) < _CHUNK and broken is None:
            return
        await anyio.lowlevel.checkpoint()
    raise broken
