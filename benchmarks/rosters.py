"""Three seeded rosters of different shapes, and the fewest calls that any plan can do with."""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Iterable
from itertools import accumulate

from attrs import frozen

from async_enroll.models import Action
from async_enroll.planning.desired import Desired

Pairs = list[tuple[int, int]]
"""Learners and courses, by number."""


def program() -> Pairs:
    """50,000 learners, each in one of 40 programs of 8 courses; a tenth in one or two more."""
    chance = random.Random(1)
    programs = [chance.sample(range(120), 8) for _ in range(40)]
    pairs = []
    for learner in range(50_000):
        courses = set(chance.choice(programs))
        if chance.random() < 0.10:
            for _ in range(chance.randint(1, 2)):
                course = chance.randrange(120)
                while course in courses:
                    course = chance.randrange(120)
                courses.add(course)
        pairs += [(learner, course) for course in courses]
    chance.shuffle(pairs)
    return pairs


def long_tail() -> Pairs:
    """200,000 pairs: few courses have most learners, and 5,000 have few."""
    chance = random.Random(2)
    courses = list(accumulate(rank**-1.1 for rank in range(1, 5_001)))
    learners = list(accumulate((rank + 9) ** -0.75 for rank in range(1, 60_001)))
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < 200_000:
        learner = bisect.bisect_left(learners, chance.random() * learners[-1])
        course = bisect.bisect_left(courses, chance.random() * courses[-1])
        pairs[learner, course] = None
    found = list(pairs)
    chance.shuffle(found)
    return found


def dense() -> Pairs:
    """10,000 learners, each in the same 5 courses."""
    pairs = [(learner, course) for learner in range(10_000) for course in range(5)]
    random.Random(3).shuffle(pairs)
    return pairs


@frozen
class Shape:
    """A roster; `bounds` has the fewest calls by the most pairs in a call: proved, not reached."""

    name: str
    pairs: Callable[[], Pairs]
    bounds: dict[int, int]


SHAPES = (
    Shape("program", program, {500: 827, 1000: 413}),
    Shape("long tail", long_tail, {500: 5_166, 1000: 5_031}),
    Shape("dense", dense, {500: 100, 1000: 50}),
)


def desired(pairs: Iterable[tuple[int, int]]) -> Desired:
    """The pairs as a roster would have them."""
    found = Desired()
    for learner, course in pairs:
        found.add(
            f"learner{learner:06}@example.org", f"course-v1:Org+C{course:04}+2026", Action.ENROLL
        )
    return found
