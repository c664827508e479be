"""Packs pairs into few rectangles: some learners, each in all of some courses. Pure.

A bulk call is such a rectangle. To cover what learners want by the fewest is hard; this is
greedy, in three steps. Learners of whom the same is wanted fill calls of their own. Of
what is left, courses that need more than one call grow such a call by the courses that most
of its learners share. In the end every course has one call for the rest of its learners,
but for a learner who is alone in several.

Courses are numbers here: those of wishes that can share a call.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from async_enroll.models import BatchLimits

Rectangle = tuple[Sequence[int], Sequence[str]]
"""Courses, and the learners who want all of them."""

_LOOKED_AT = 25
"""How many calls' worth of learners a growing call chooses from: more is hardly better."""


def packed(groups: Mapping[tuple[int, ...], list[str]], limits: BatchLimits) -> Iterator[Rectangle]:
    """Cover every pair once, by rectangles within the limits of pairs and identifiers.

    `groups` has the learners by the courses they want, each learner once.
    """
    packing = _Packing(limits)
    for courses, learners in groups.items():
        yield from packing.add(courses, learners)
    yield from packing.crowded()
    yield from packing.lonely()
    yield from packing.rest()


class _Packing:
    """The pairs that are not in a rectangle yet."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._most = min(limits.identifiers, limits.pairs)
        self._learners: list[str] = []
        # The same pairs twice: by learner and, in the order in which they came, by course.
        self._courses_of: list[set[int]] = []
        self._learners_in: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def _capacity(self, courses: int) -> int:
        """How many learners a call of so many courses takes."""
        return min(self._limits.identifiers, self._limits.pairs // courses)

    def add(self, courses: tuple[int, ...], learners: list[str]) -> Iterator[Rectangle]:
        """Take in learners who want the same; give the calls that they fill."""
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
        """Give calls until every course has no more learners than one call takes."""
        crowded = {course for course, some in self._learners_in.items() if len(some) > self._most}
        while crowded:
            # The rarest first: the others have more learners to be chosen from.
            course = min(crowded, key=lambda course: (len(self._learners_in[course]), course))
            courses, learners = self._grown(course, crowded)
            yield self._take(courses, learners)
            crowded.difference_update(
                [one for one in courses if len(self._learners_in[one]) <= self._most]
            )

    def _grown(self, course: int, others: set[int]) -> tuple[list[int], list[int]]:
        """The largest call found by adding the course that most learners share, again and again."""
        learners = list(islice(self._learners_in[course], _LOOKED_AT * self._limits.identifiers))
        courses = [course]
        best = courses, learners[: self._most]
        while len(courses) < self._limits.pairs:
            desired = (self._courses_of[learner] & others for learner in learners)
            shared = Counter(chain.from_iterable(desired))
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
                break  # not even all courses that are left would make it larger
        return best

    def lonely(self) -> Iterator[Rectangle]:
        """Give the calls of learners who are alone in more courses than they need calls."""
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
        """Give one call for each course."""
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
