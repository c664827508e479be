"""What callers pass in, of either kind of iterable, made into work."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from itertools import islice
from typing import TypeVar

import anyio.lowlevel
from anyio import to_thread

from async_enroll.errors import ConfigurationError
from async_enroll.intake import CrossProduct, RosterIntake, Work
from async_enroll.models import Action, BatchLimits, RosterEntry
from async_enroll.plan import Plan
from async_enroll.roster import Roster
from async_enroll.wanted import Lines

T = TypeVar("T")
AnyIterable = Iterable[T] | AsyncIterable[T]

_BREATH = 1024
"""How many items of a plain iterable are taken before other tasks get a chance to run."""


async def cross_product(
    action: Action,
    identifiers: AnyIterable[str],
    courses: AnyIterable[str],
    cohorts: Mapping[str, str] | None,
    limits: BatchLimits,
) -> AsyncGenerator[Work]:
    """The work of every identifier in every course, while the identifiers come in."""
    keys = [course_id async for course_id in each(courses, "courses")]
    intake = CrossProduct(action, keys, cohorts, limits)
    lists = in_lists(identifiers, "identifiers")
    yield intake.scope
    async for some in lists:
        for work in intake.feed(some):
            yield work
    for work in intake.flush():
        yield work


async def plan_of(roster: AnyIterable[RosterEntry], limits: BatchLimits) -> Plan:
    """The plan of a roster, once all of it is there.

    Raises:
        RosterError: where entries contradict each other.
        ConfigurationError: where it is a path, a table or a mapping instead.

    """
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
    if isinstance(roster, Plan):
        return roster
    skipped: tuple[str, ...] = ()
    lines: Lines | None = None
    if isinstance(roster, Roster):
        source, wanted, skipped = roster.source, roster.wanted, roster.skipped
        lines = roster.lines
    else:
        intake = RosterIntake()
        async for entry in each(roster, "roster"):
            intake.feed(entry)
        source, wanted = "entries", intake.wanted
    return await to_thread.run_sync(
        lambda: Plan.of(wanted, limits, source=source, skipped=skipped, lines=lines)
    )


async def each(items: AnyIterable[T], name: str) -> AsyncIterator[T]:
    """Iterate over either kind of iterable."""
    async for some in in_lists(items, name):
        for item in some:
            yield item


def in_lists(items: AnyIterable[T], name: str) -> AsyncIterator[list[T]]:
    """The items as they come, in lists, letting other tasks run in between.

    Raises:
        ConfigurationError: at once, for what is no list of items.

    """
    if isinstance(items, str | bytes):
        raise ConfigurationError(f"{name} is a single {type(items).__name__}; expected a list")
    if _is_table(items) or not isinstance(items, Iterable | AsyncIterable):
        raise ConfigurationError(f"{name} is a {type(items).__name__}; expected a list")
    return _in_lists(items)


def _is_table(items: object) -> bool:
    """Whether it is a DataFrame of some kind: those iterate over their columns, not their rows."""
    return all(hasattr(type(items), name) for name in ("columns", "shape"))


async def _in_lists(items: AnyIterable[T]) -> AsyncIterator[list[T]]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield [item]
    else:
        left = iter(items)
        broken: Exception | None = None
        while broken is None:
            some: list[T] = []
            try:
                some.extend(islice(left, _BREATH))
            except Exception as error:  # noqa: BLE001  # raised once what came before it is given
                broken = error
            if some:
                yield some
                await anyio.lowlevel.checkpoint()
            elif broken is None:
                return
        raise broken
