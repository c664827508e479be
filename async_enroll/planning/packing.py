"""Packs pairs into few rectangles, each a set of learners in a set of courses. No I/O.

A bulk call is such a rectangle. Covering all pairs with the fewest is hard; this algorithm is
greedy. First, learners with the same assignments fill calls of their own. Then, while a course
has learners for more than one call, a call for it is extended by the courses that most of these
learners share. Last, each course gets one call for its remaining learners, except where a learner
is the only one in several courses: those share a call.

Courses are numbers of assignments that can share a call. Gives rectangles to `planning.batching`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from async_enroll.models import BatchLimits

Rectangle = tuple[Sequence[int], Sequence[str]]
"""Courses, and learners who are assigned to all of them."""

_LOOKED_AT = 25
"""A call is grown from the learners of at most this many calls; more hardly improve it."""


def packed(groups: Mapping[tuple[int, ...], list[str]], limits: BatchLimits) -> Iterator[Rectangle]:
    """Cover every pair exactly once with rectangles within the limits of pairs and identifiers.

    `groups` maps course numbers to the learners assigned to exactly these; each learner occurs
    once.
    """
    packing = _Packing(limits)
    for courses, learners in groups.items():
        yield from packing.add(courses, learners)
    yield from packing.crowded()
    yield from packing.lonely()
    yield from packing.rest()


class _Packing:
    """The pairs that are in no rectangle yet."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._most = min(limits.identifiers, limits.pairs)
        self._learners: list[str] = []
        # The same pairs, indexed by learner and by course; the latter keep the input order.
        self._courses_of: list[set[int]] = []
        self._learners_in: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def _capacity(self, courses: int) -> int:
        """Maximum number of learners in a call with `courses` courses."""
        return min(self._limits.identifiers, self._limits.pairs // courses)

    def add(self, courses: tuple[int, ...], learners: list[str]) -> Iterator[Rectangle]:
        """Add learners with the same courses; yield the calls that they fill."""
        full = self._capacity(len(courses))
        start = 0
        while full and len(learners) - start >= full:
            yield courses, learners[start : start + full]
            start += full
        for learner in islice(learners, start, None):
            number = len(self._learners)
            self._learners.append(learner)
            self._courses_of.append(set(courses))
            for course in courses:
                self._learners_in[course][number] = None

    def crowded(self) -> Iterator[Rectangle]:
        """Yield calls until the remaining learners of each course fit into one call."""
        crowded = {course for course, some in self._learners_in.items() if len(some) > self._most}
        while crowded:
            # The smallest course first: the larger ones leave more choice.
            course = min(crowded, key=lambda course: (len(self._learners_in[course]), course))
            courses, learners = self._grown(course, crowded)
            yield self._take(courses, learners)
            crowded.difference_update(
                [one for one in courses if len(self._learners_in[one]) <= self._most]
            )

    def _grown(self, course: int, others: set[int]) -> tuple[list[int], list[int]]:
        """The largest call found by repeatedly adding the course that most learners share."""
        learners = list(islice(self._learners_in[course], _LOOKED_AT * self._limits.identifiers))
        courses = [course]
        best = courses, learners[: self._most]
        while len(courses) < self._limits.pairs:
            candidates = (self._courses_of[learner] & others for learner in learners)
            shared = Counter(chain.from_iterable(candidates))
            for course in courses:
                del shared[course]
            if not shared:
                break
            course, count = max(shared.items(), key=lambda item: (item[1], -item[0]))
            courses = [*courses, course]
            learners = [one for one in learners if course in self._courses_of[one]]
            size = min(count, self._capacity(len(courses))) * len(courses)
            if size > len(best[0]) * len(best[1]):
                best = courses, learners[: self._capacity(len(courses))]
            if count * (len(courses) + len(shared) - 1) < len(best[0]) * len(best[1]):
                break  # adding all remaining courses would not make it larger
        return best

    def lonely(self) -> Iterator[Rectangle]:
        """Yield calls for single learners where these save calls for courses with one learner."""
        alone = Counter(
            learner
            for learners in self._learners_in.values()
            if len(learners) == 1
            for learner in learners
        )
        for learner, count in alone.most_common():
            courses = sorted(self._courses_of[learner])
            if count > -(-len(courses) // self._limits.pairs):
                for start in range(0, len(courses), self._limits.pairs):
                    yield self._take(courses[start : start + self._limits.pairs], [learner])

    def rest(self) -> Iterator[Rectangle]:
        """Yield one call for each course that has learners left."""
        for course, learners in self._learners_in.items():
            if learners:
                yield [course], [self._learners[number] for number in learners]

    def _take(self, courses: Sequence[int], learners: Sequence[int]) -> Rectangle:
        for course in courses:
            for number in learners:
                del self._learners_in[course][number]
        for number in learners:
            self._courses_of[number].difference_update(courses)
        return courses, [self._learners[number] for number in learners]
