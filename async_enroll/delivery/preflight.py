"""Preflight: checks courses and cohorts with calls that have no effect.

An identifier that is neither a user nor a plausible address changes nothing, mails nobody and
leaves no record. Yet its call fails like any other when a course is missing or forbidden, or a
cohort unknown. So one such call checks many courses.

Takes places (a course, with or without a cohort) from `jobs.runner` and `delivery.delivery`, which
then reject the pairs of those that are `bad`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio

from async_enroll.delivery.attempt import MOST_ATTEMPTS
from async_enroll.delivery.outcomes import CERTAIN
from async_enroll.errors import EnrollError, PlatformError
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import NOBODY, Action, Batch, BatchLimits
from async_enroll.planning.batching import Chunker, Place, Target, halves, places
from async_enroll.platform.json import BulkAnswer

_REMEMBERED = 600.0
"""For how many seconds later jobs of the client rely on a place that was found to be good."""

AT_FAULT = (FailureKind.REFUSED, FailureKind.MISSING, FailureKind.UNDONE)
"""Kinds of failure that one course or learner of a call may cause."""

_PASSING = (FailureKind.UNDONE, FailureKind.TOO_LARGE, FailureKind.INTERCEPTED, FailureKind.MASKED)
_UNDECIDED = (
    FailureKind.UNKNOWN,
    FailureKind.THROTTLED,
    FailureKind.TOO_LARGE,
    FailureKind.INTERCEPTED,
    FailureKind.MASKED,
)


def _now() -> float:
    return asyncio.get_running_loop().time()


class GoodPlaces:
    """The places that preflights of one client found to be good, shared by all of its jobs.

    `asked` holds the places that a call checks right now, each with an event set afterwards.
    """

    def __init__(self) -> None:
        self.asked: dict[Place, anyio.Event] = {}
        self._until: dict[Place, float] = {}

    def add(self, places: Iterable[Place]) -> None:
        """Remember places as good, for ten minutes from now."""
        self._until.update(dict.fromkeys(places, _now() + _REMEMBERED))

    def forget(self, places: Iterable[Place]) -> None:
        """Have places checked again."""
        for place in places:
            self._until.pop(place, None)

    def __contains__(self, place: Place) -> bool:
        return _now() < self._until.get(place, -math.inf)


@contextmanager
def _noted(places: Collection[Place], asked: dict[Place, anyio.Event]) -> Iterator[None]:
    """Note in `asked`, until the `with` block ends, the places that are not there yet."""
    answered = anyio.Event()
    ours = [place for place in places if place not in asked]
    asked.update(dict.fromkeys(ours, answered))
    try:
        yield
    finally:
        for place in ours:
            del asked[place]
        answered.set()


class Preflight:
    """Checks the places of a job, each once.

    `call` sends a batch without effect. `remembered` holds what other jobs have found out, and are
    checking now; `until_stopped` gives a scope to wait for them in, cancelled when the job stops.
    `progress` is awaited while a check takes several calls: how many places are known, how many of
    these are bad, and how many there are.
    """

    def __init__(
        self,
        call: Callable[[Batch], Awaitable[BulkAnswer | Failure]],
        limits: BatchLimits,
        remembered: GoodPlaces,
        until_stopped: Callable[[], AbstractContextManager[anyio.CancelScope]] = anyio.CancelScope,
        progress: Callable[[int, int, int], Awaitable[None]] | None = None,
    ) -> None:
        self._call = call
        self._limits = limits
        self._remembered = remembered
        self._until_stopped = until_stopped
        self._progress = progress
        self.bad: dict[Place, EnrollError] = {}
        """The places that the platform refuses, each with the reason."""
        self._good: set[Place] = set()
        self._asked: dict[Place, anyio.Event] = {}
        """The places that this job is checking, until each is known."""

    async def check(self, asked: Collection[Place], *, again: bool = False) -> None:
        """Check places that are not known yet; with `again` also those known to be good.

        Afterwards each is known to be good or bad, unless the job was stopped.
        """
        if not again and self._good.issuperset(asked):
            return
        if again:
            self._good.difference_update(asked)
            self._remembered.forget(asked)
        while new := [place for place in dict.fromkeys(asked) if not self._is_known(place)]:
            answers = self._remembered.asked | self._asked
            free = [place for place in new if place not in answers]
            if free:
                if not await self._ask(free):
                    return
                continue
            with self._until_stopped() as wait:
                await answers[new[0]].wait()
            if wait.cancelled_caught:
                return

    def blame(self, batch: Batch, failure: Failure) -> bool:
        """Mark the places whose courses a refusal names as bad; return whether it names any."""
        named = _named_places(batch, failure)
        self.bad.update(dict.fromkeys(named, _place_error(failure)))
        self._remembered.forget(named)
        return bool(named)

    def _is_known(self, place: Place) -> bool:
        if place in self.bad or place in self._good:
            return True
        if place in self._remembered:
            self._good.add(place)  # for as long as the job lasts
            return True
        return False

    async def _ask(self, some: list[Place]) -> bool:
        """Check places; return whether all of them are known now."""
        with _noted(some, self._asked):
            for batch in _preflights(some, self._limits):
                await self._check(batch, some)
        return all(map(self._is_known, some))

    async def _check(self, batch: Batch, some: list[Place]) -> None:
        # Other jobs wait for one call. To find what is bad may take hundreds, and minutes.
        with _noted(places(batch), self._remembered.asked):
            unchecked = [*await self._check_once(batch)]
        while unchecked:  # no recursion: each missing course may cost a call
            if self._progress:
                bad = sum(place in self.bad for place in some)
                known = bad + sum(place in self._good for place in some)
                await self._progress(known, bad, len(some))
            unchecked = [*await self._check_once(unchecked[0]), *unchecked[1:]]

    async def _check_once(self, batch: Batch) -> Iterable[Batch]:
        """Check a batch with one call; return the batches still to check."""
        alone = batch.pairs == 1
        failure = await self._failure(batch, alone=alone)
        if failure is None:
            # A course with a good cohort is good itself.
            good = [*places(batch), *(Place(course_id, None) for course_id in batch.courses)]
            self._good.update(good)
            self._remembered.add(good)
        elif failure.kind in AT_FAULT + _UNDECIDED:
            if alone:
                self.bad.update(dict.fromkeys(places(batch), _place_error(failure)))
            elif self.blame(batch, failure):
                rest = [place for place in places(batch) if place not in self.bad]
                return _preflights(rest, self._limits)
            else:
                return halves(batch)
        return ()

    async def _failure(self, batch: Batch, *, alone: bool) -> Failure | None:
        """Return how a call fails: a place `alone` is asked about again where that may pass."""
        met: Counter[FailureKind] = Counter()
        while isinstance(reply := await self._call(batch), Failure):
            met[reply.kind] += 1
            if reply.kind is FailureKind.UNKNOWN:
                most = MOST_ATTEMPTS if alone else CERTAIN
            else:
                most = CERTAIN if alone and reply.kind in _PASSING else 1
            if met[reply.kind] >= most:
                return reply
        return None


def _preflights(asked: Iterable[Place], limits: BatchLimits) -> Iterator[Batch]:
    """Yield calls that check places: no course twice in one, none with and without cohorts."""
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


def _named_places(batch: Batch, failure: Failure) -> list[Place]:
    """Return the places whose courses a refusal names."""
    if failure.kind not in (FailureKind.REFUSED, FailureKind.MISSING):
        return []
    # `Course key not valid: KEY`, `Course not found: KEY.`; a key may end in a dot itself.
    said = set(str(failure.error).split())
    named = said | {word[:-1] for word in said if word.endswith((".", ",", ";"))}
    return [place for place in places(batch) if place.course_id in named]


def _place_error(failure: Failure) -> EnrollError:
    words = str(failure.error)
    match failure.kind:
        case FailureKind.MISSING:
            return PlatformError(f"the course does not exist ({words})", status=404)
        case FailureKind.UNDONE:
            return PlatformError(
                f"the platform fails on this course; may the token's user enter it? ({words})",
                status=500,
            )
        case kind if kind in _UNDECIDED:
            return EnrollError(f"not sent: whether the course exists cannot be told ({words})")
    return failure.error
