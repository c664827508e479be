"""Which courses and cohorts are good, found out without touching anybody.

An identifier that is neither a user nor a plausible address changes nothing, mails
nothing and leaves no record, yet its call fails as any other when a course is missing or
forbidden or a cohort unknown. So one call with it tells of many courses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

import anyio

from async_enroll.batching import NOBODY, Chunker, Place, Target, halves, places
from async_enroll.errors import EnrollError, PlatformError
from async_enroll.models import Action, Batch, BatchLimits
from async_enroll.verdict import Failure, Meaning
from async_enroll.wire import BulkAnswer

_CERTAIN = 3
"""How often the platform must fail on a course alone: one failure may be passing."""


class Vetting:
    """What is known of the places of a job; each is asked about once.

    `call` sends a batch without mail, and again where its fate is not known.
    """

    def __init__(
        self,
        call: Callable[[Batch], Awaitable[BulkAnswer | Failure]],
        limits: BatchLimits,
    ) -> None:
        self._call = call
        self._limits = limits
        self.bad: dict[Place, EnrollError] = {}
        """The places that the platform refuses, and why."""
        self._good: set[Place] = set()
        self._line = anyio.Lock()

    async def vet(self, asked: Collection[Place], *, again: bool = False) -> None:
        """Find out which places are bad; `again` also of those that were good before."""
        async with self._line:
            if again:
                self._good.difference_update(asked)
            known = self._good | self.bad.keys()
            new = [place for place in dict.fromkeys(asked) if place not in known]
            for batch in _preflights(new, self._limits):
                await self._vet(batch)

    async def _vet(self, batch: Batch) -> None:
        alone = batch.pairs == 1
        failure = await self._failure(batch, tries=_CERTAIN if alone else 1)
        if failure is None:
            self._good.update(places(batch))
        elif failure.meaning in (Meaning.MISSING, Meaning.REFUSED, Meaning.UNDONE):
            culprits = places(batch) if alone else _named(batch, failure)
            self.bad.update(dict.fromkeys(culprits, _why(failure)))
            rest = [place for place in places(batch) if place not in culprits]
            parts = _preflights(rest, self._limits) if culprits else halves(batch)
            for part in parts:
                await self._vet(part)

    async def _failure(self, batch: Batch, *, tries: int) -> Failure | None:
        reply = await self._call(batch)
        if isinstance(reply, BulkAnswer):
            return None
        if reply.meaning is Meaning.UNDONE and tries > 1:
            return await self._failure(batch, tries=tries - 1)
        return reply


def _preflights(asked: Iterable[Place], limits: BatchLimits) -> Iterator[Batch]:
    """The calls that ask about places: a course not twice in one, nor with and without cohort."""
    rounds: defaultdict[tuple[bool, int], list[Place]] = defaultdict(list)
    seen: defaultdict[str, int] = defaultdict(int)
    for place in asked:
        cohorted = place.cohort is not None
        rounds[cohorted, seen[place.course_id] if cohorted else 0].append(place)
        seen[place.course_id] += cohorted
    for (cohorted, _), some in rounds.items():
        target = Target(
            Action.ENROLL,
            tuple(place.course_id for place in some),
            tuple(place.cohort or "" for place in some) if cohorted else None,
        )
        chunker = Chunker(target, limits)
        yield from [*chunker.feed([NOBODY]), *chunker.flush()]


def _named(batch: Batch, failure: Failure) -> list[Place]:
    """The places whose courses a refusal names."""
    if failure.meaning is not Meaning.REFUSED:
        return []
    said = {word.strip(".,;") for word in str(failure.error).split()}
    return [place for place in places(batch) if place.course_id in said]


def _why(failure: Failure) -> EnrollError:
    words = str(failure.error)
    match failure.meaning:
        case Meaning.MISSING:
            return PlatformError(f"the course does not exist ({words})", status=404)
        case Meaning.UNDONE:
            return PlatformError(
                f"the platform fails on this course; may the token's user enter it? ({words})",
                status=500,
            )
    return failure.error
