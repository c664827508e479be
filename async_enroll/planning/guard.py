"""The guard of a sync: how many removals are too many. No I/O.

`planning.diff` gives it the counts of each course; what it refuses becomes a `SyncRefused`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Self

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


@frozen
class Refusal:
    """Why removals are refused: `why`, and what to do about it.

    `remedy` names the argument of `EnrollmentClient.diff`, `remedy_by_option` the option of the
    command line.
    """

    why: str
    remedy: str
    remedy_by_option: str

    @classmethod
    def of(cls, why: str, allowed_by: int | None) -> Self:
        """The refusal of what a bound would allow."""
        argument, option = (
            f"max_removals={allowed_by}",
            f"--max-removals {'none' if allowed_by is None else allowed_by}",
        )
        return cls(why, f"{argument} allows it", f"{option} allows it")

    def __str__(self) -> str:
        """In words, with the argument."""
        return f"{self.why}; {self.remedy}"

    @property
    def by_option(self) -> str:
        """In words, with the option."""
        return f"{self.why}; {self.remedy_by_option}"


def refusals(
    planned: Sequence[Removals], bound: Bound, *, remove: bool
) -> dict[str | None, Refusal]:
    """Why removals are refused, by course key; None is the key for all courses.

    Emptying a course needs a bound of None; with `remove`, a course without a row to enroll is
    refused even so.
    """
    people = {username for course in planned for username in course.usernames}
    found: dict[str | None, Refusal] = {}
    for course in planned:
        if refusal := _refusal(course, bound, len(people), remove=remove):
            found[course.course_id] = refusal
    enrolled = sum(course.enrolled for course in planned)
    if isinstance(bound, int):
        count, of = len(people), "people"
    else:
        count, of = sum(len(course.usernames) for course in planned), f"of {enrolled:,} enrollments"
    if not found and exceeds(count, enrolled, bound):
        why = f"all courses: would remove {count:,} {of}, more than {_most(bound, enrolled)}"
        found[None] = Refusal.of(why, len(people))
    return found


def _refusal(course: Removals, bound: Bound, people: int, *, remove: bool) -> Refusal | None:
    """Why removals from a course are refused; `people` are removed from any."""
    count, enrolled = len(course.usernames), course.enrolled
    learners = f"{enrolled:,} learner" + ("" if enrolled == 1 else "s")
    if remove and not course.desired:
        why = f"{course.course_id}: the roster has no row to enroll, of {learners} now"
        remedy = "leave the course out, or list whom to remove with the action unenroll, without "
        return Refusal(why, f"{remedy}remove", f"{remedy}--remove")
    why = f"{course.course_id}: would remove {count:,} of {learners}"
    if bound is not None and count and count == enrolled:
        return Refusal.of(f"{why} and leave none", None)
    if exceeds(count, enrolled, bound):
        return Refusal.of(f"{why}, more than {_most(bound, enrolled)}", people)
    return None


def _most(bound: Bound, enrolled: int) -> str:
    if isinstance(bound, float):
        share = Fraction(repr(bound))
        return f"{math.floor(share * enrolled):,} ({float(share * 100):g}%)"
    return f"{bound:,}"
