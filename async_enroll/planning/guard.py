"""The guard of a sync: how many removals are too many. No I/O.

`planning.diff` gives it the counts of each course; what it refuses becomes a `SyncRefused`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from fractions import Fraction

from attrs import frozen

from async_enroll.errors import ConfigurationError

Bound = int | float | None
"""How many removals are allowed: an int counts people, a float is a share; None: any number."""

FEWEST = 10
"""A share bounds removals from this many enrolled on: of fewer, one is a large share."""


@frozen
class Removals:
    """The removals planned in a course: usernames, of `enrolled` learners.

    `desired`: whether the roster has a row to enroll in this course.
    """

    course_id: str
    usernames: Collection[str]
    enrolled: int
    desired: bool


def checked_bound(bound: object) -> Bound:
    """Return a bound as given.

    Raises:
        ConfigurationError: if it is no number of people and no share.

    """
    expected = "expected a number of people, as 20, a share from 0.0 to 1.0, as 0.2, or None"
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise ConfigurationError(f"max_removals is a {type(bound).__name__}; {expected}")
    if bound < 0 or (isinstance(bound, float) and not (math.isfinite(bound) and bound <= 1)):
        raise ConfigurationError(f"max_removals is {bound}; {expected}")
    return bound


def exceeds(removals: int, enrolled: int, bound: Bound) -> bool:
    """Whether so many removals, of so many enrolled, are more than allowed."""
    if bound is None:
        return False
    if isinstance(bound, int) or not bound:
        return removals > bound
    # As the share is written: 0.29 of 100 is 29, not 28.999….
    return enrolled >= FEWEST and removals > Fraction(repr(bound)) * enrolled


def refusals(planned: Sequence[Removals], bound: Bound, *, remove: bool) -> dict[str | None, str]:
    """Why removals are refused, in words, by course key; None is the key for all courses.

    Emptying a course needs a bound of None; with `remove`, a course without a row to enroll is
    refused even so.
    """
    people = {username for course in planned for username in course.usernames}
    count = sum(len(course.usernames) for course in planned)
    enrolled = sum(course.enrolled for course in planned)
    option = f"max_removals={len(people)} (--max-removals {len(people)}) allows it"
    found: dict[str | None, str] = {}
    for course in planned:
        if why := _why(course, bound, option, remove=remove):
            found[course.course_id] = f"{course.course_id}: {why}"
    if isinstance(bound, int):
        count, of = len(people), "people"
    else:
        of = f"of {enrolled:,} enrollments"
    if not found and exceeds(count, enrolled, bound):
        most = _most(bound, enrolled)
        found[None] = f"all courses: would remove {count:,} {of}, more than {most}; {option}"
    return found


def _why(course: Removals, bound: Bound, option: str, *, remove: bool) -> str | None:
    count, enrolled = len(course.usernames), course.enrolled
    learners = f"{enrolled:,} learner" + ("" if enrolled == 1 else "s")
    if remove and not course.desired:
        return (
            f"the roster has no row to enroll, of {learners} now; leave the course out, or list "
            "whom to remove with the action unenroll, without remove"
        )
    if bound is not None and count and count == enrolled:
        option = "max_removals=None (--max-removals none) allows it"
        return f"would remove {count:,} of {learners} and leave none; {option}"
    if exceeds(count, enrolled, bound):
        return f"would remove {count:,} of {learners}, more than {_most(bound, enrolled)}; {option}"
    return None


def _most(bound: Bound, enrolled: int) -> str:
    if isinstance(bound, float):
        return f"{math.floor(Fraction(repr(bound)) * enrolled):,} (max_removals={bound:g})"
    return f"max_removals={bound}"
