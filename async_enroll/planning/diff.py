"""`RosterDiff`: how a roster and the enrollments of its courses differ. No I/O.

`jobs.diff` makes one of the courses' `CourseDiff` objects. Users look at it, and `jobs.sync`
applies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from attrs import asdict, field, frozen

from async_enroll.errors import SyncRefused
from async_enroll.models import Action, RosterEntry
from async_enroll.planning.comparison import CourseDiff
from async_enroll.planning.desired import Desired, Lines
from async_enroll.planning.guard import Bound, Refusal, Removals, refusals


@frozen
class DiffOptions:
    """What is compared, and what a sync may remove. As the arguments of `EnrollmentClient.diff`."""

    courses: tuple[str, ...] | None = None
    remove: bool = False
    keep: tuple[str, ...] = ()
    max_removals: Bound = 0.2
    remove_modes: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """The options as arguments of `EnrollmentClient.diff`."""
        return asdict(self)


@frozen(eq=False)
class RosterDiff:
    """How a roster and the enrollments of its courses differ. Pass it to `EnrollmentClient.sync`.

    `courses` has a `CourseDiff` for each course key. `source` names the roster, `site` is the
    platform's URL. `refusals` says why a sync is refused, by course key or None for all courses;
    it is empty where it may go ahead. `read` is when reading began, by `time.time`. `skipped`
    and `lines` are those of the roster.
    """

    courses: Mapping[str, CourseDiff]
    options: DiffOptions
    site: str
    source: str
    desired: Desired = field(repr=False)
    read: float = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), repr=False)
    lines: Lines | None = field(default=None, repr=False)
    refusals: Mapping[str | None, Refusal] = field(init=False, repr=False)

    @refusals.default
    def _guarded(self) -> Mapping[str | None, Refusal]:
        planned = [
            Removals(
                course.course_id,
                [
                    course.asked.get(entry.identifier, entry.identifier)
                    for entry in course.removals(remove=self.options.remove)
                    if course.withheld is None
                ],
                course.enrolled,
                course.desired,
            )
            for course in self.courses.values()
        ]
        if not planned:
            why, remedy = "the roster names no course", "give at least one with "
            return {None: Refusal(why, f"{remedy}courses", f"{remedy}--course-id")}
        options = self.options
        if (
            options.remove
            and self.skipped
            and options.max_removals is not None
            and any(course.usernames for course in planned)
        ):
            why = f"{len(self.skipped):,} of the roster's rows cannot be read, and their learners"
            return {None: Refusal.of(f"{why} would be removed; mend these rows", None)}
        return refusals(planned, options.max_removals, remove=options.remove)

    @property
    def refused(self) -> SyncRefused | None:
        """The error that a sync raises, None where it may go ahead."""
        return SyncRefused(list(map(str, self.refusals.values()))) if self.refusals else None

    @property
    def to_enroll(self) -> tuple[RosterEntry, ...]:
        """Rows whose learners have an account and are not enrolled."""
        return tuple(chain.from_iterable(course.to_enroll for course in self.courses.values()))

    @property
    def returning(self) -> tuple[RosterEntry, ...]:
        """Those of `to_enroll` whose learners were enrolled before."""
        return tuple(chain.from_iterable(course.returning for course in self.courses.values()))

    @property
    def not_looked_up(self) -> tuple[RosterEntry, ...]:
        """Those of `to_enroll` whose accounts were not looked up: they may have none."""
        return tuple(chain.from_iterable(course.not_looked_up for course in self.courses.values()))

    @property
    def to_unenroll(self) -> tuple[RosterEntry, ...]:
        """Learners who are enrolled and not wanted, also without `remove`."""
        return tuple(chain.from_iterable(course.to_unenroll for course in self.courses.values()))

    @property
    def removals(self) -> tuple[RosterEntry, ...]:
        """Those of `to_unenroll` whom a sync unenrolls: with `remove` all, else those asked for.

        Without those of courses that are withheld. Empty if the sync is refused.
        """
        return () if self.refusals else tuple(self._removals())

    @property
    def not_listed(self) -> tuple[RosterEntry, ...]:
        """Rows whose learners no listing shows.

        They have no account, or one that is not activated, or wait for registration.
        """
        return tuple(chain.from_iterable(course.not_listed for course in self.courses.values()))

    @property
    def kept(self) -> tuple[RosterEntry, ...]:
        """Learners who stay enrolled though they are not in the roster."""
        return tuple(
            RosterEntry(username, course.course_id)
            for course in self.courses.values()
            for username in course.kept
        )

    @property
    def unchanged(self) -> int:
        """The number of rows that are as asked."""
        return sum(course.unchanged for course in self.courses.values())

    @property
    def withheld(self) -> dict[str, str]:
        """Why nobody is removed from a course, by course key, where somebody might be."""
        return {
            key: course.withheld
            for key, course in self.courses.items()
            if course.withheld is not None
            and (self.options.remove or course.asked or course.withdrawals)
        }

    @property
    def in_sync(self) -> bool:
        """Whether a sync would enroll and unenroll nobody whom the listing shows."""
        remove = self.options.remove
        return not any(
            course.to_enroll or course.removals(remove=remove) for course in self.courses.values()
        )

    @property
    def changes(self) -> Iterator[RosterEntry]:
        """What a sync sends: additions, those of learners who are not listed, then removals."""
        yield from self.to_enroll
        courses = self.courses.values()
        for course in courses:
            yield from (one for one in course.not_listed if one.action is Action.ENROLL)
        if self.refusals:
            return
        for course in courses:
            if course.withheld is None:
                yield from course.withdrawals
        yield from self._removals()

    def _removals(self) -> Iterator[RosterEntry]:
        for course in self.courses.values():
            if course.withheld is None:
                yield from course.removals(remove=self.options.remove)
