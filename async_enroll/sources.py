"""What callers pass in, of either kind of iterable, made into work."""

from __future__ import annotations

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
    yield intake.scope
    async for some in in_lists(identifiers, "identifiers"):
        for work in intake.feed(some):
            yield work
    for work in intake.flush():
        yield work


async def plan_of(roster: AnyIterable[RosterEntry], limits: BatchLimits) -> Plan:
    """The plan of a roster, once all of it is there.

    Raises:
        RosterError: where entries contradict each other.

    """
    if isinstance(roster, Plan):
        return roster
    skipped: tuple[str, ...] = ()
    if isinstance(roster, Roster):
        source, wanted, skipped = roster.source, roster.wanted, roster.skipped
    else:
        intake = RosterIntake()
        async for entry in each(roster, "roster"):
            intake.feed(entry)
        source, wanted = "entries", intake.wanted
    return await to_thread.run_sync(lambda: Plan.of(wanted, limits, source=source, skipped=skipped))


async def each(items: AnyIterable[T], name: str) -> AsyncIterator[T]:
    """Iterate over either kind of iterable."""
    async for some in in_lists(items, name):
        for item in some:
            yield item


async def in_lists(items: AnyIterable[T], name: str) -> AsyncIterator[list[T]]:
    """The items as they come, in lists, letting other tasks run in between."""
    if isinstance(items, str | bytes):
        raise ConfigurationError(f"{name} is a single {type(items).__name__}; expected a list")
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
