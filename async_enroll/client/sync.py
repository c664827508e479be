"""The methods of `EnrollmentClient` that compare courses with a roster.

Reading and comparing is in `jobs.diff`, the job in `jobs.sync`. Both are imported by the methods:
most clients do neither.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from async_enroll.client.base import ClientBase
from async_enroll.errors import ConfigurationError
from async_enroll.jobs.inputs import AnyIterable, roster_of
from async_enroll.jobs.options import Options, Signal
from async_enroll.models import EmailStudents, RosterEntry

if TYPE_CHECKING:
    from async_enroll.jobs.diff import Keep
    from async_enroll.planning.diff import RosterDiff
    from async_enroll.reports.report import EnrollmentReport


class SyncClient(ClientBase):
    """Compares the enrollments of courses with a roster, and makes them equal to it."""

    async def diff(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        courses: Collection[str] | None = None,
        remove: bool = False,
        keep: Keep = (),
        max_removals: float | None = 0.2,
        remove_modes: Collection[str] = (),
        partial: bool = False,
    ) -> RosterDiff:
        """Compare a roster with who is enrolled, without changing anything.

        Reads the enrollments of each course, concurrently, and looks up the accounts of learners
        whom it does not find there. Arguments are those of `sync`. With `partial`, a course whose
        listing breaks off is compared as far as it was read, and nobody is removed from it;
        otherwise that raises.

        Raises:
            RosterError: if entries contradict each other.
            ConfigurationError: if an argument is unusable.
            EnrollError: if a listing fails.

        """
        from async_enroll.jobs.diff import diff_options

        found = await roster_of(roster)
        options = await diff_options(
            courses,
            remove=remove,
            keep=keep,
            max_removals=max_removals,
            remove_modes=remove_modes,
        )
        return await self._jobs.comparer.diff(found, options, partial=partial)

    async def sync(
        self,
        roster: AnyIterable[RosterEntry] | RosterDiff,
        *,
        courses: Collection[str] | None = None,
        remove: bool = False,
        max_removals: float | None = 0.2,
        keep: Keep = (),
        remove_modes: Collection[str] = (),
        auto_enroll: bool = True,
        email_students: EmailStudents = False,
        email_removed: bool = False,
        reason: str | None = None,
        preflight: bool | None = None,
        journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> EnrollmentReport:
        """Make courses equal to a roster: enroll who is missing and, with `remove`, no others.

        Additions are sent first. Removals follow once all additions are answered, and only from
        courses where nothing is in doubt; otherwise they are withheld: REJECTED, with the reason.
        A listing older than ten minutes is read once more before anybody is removed. Entries
        with the action UNENROLL are removed also without `remove`. Cohorts are for learners whom
        the sync enrolls. The report has what was sent or withheld, not learners who are unchanged.

        Args:
            roster: The wanted enrollments, as for `apply`; or a `RosterDiff`, to do what it
                shows, with the arguments that it was made with.
            courses: The courses to compare; rows of others are ignored. None for those that the
                roster names.
            remove: Whether learners who are not in the roster are unenrolled.
            max_removals: How many learners may be unenrolled, from each course and in all: an int
                counts people, a float is a share of those enrolled now, which bounds courses of
                ten and more. Emptying a course needs None: no bound.
            keep: Identifiers that are never unenrolled, or the path of a text file with one in
                each line. Nor are the token's own user, and learners whose names differ from
                one that is kept or wanted in case, accents and form only.
            remove_modes: Modes besides audit and honor, such as "verified", whose learners may
                be unenrolled. Enrolling them again does not restore the mode.
            auto_enroll: As for `apply`.
            email_students: Whether the platform mails learners who are newly enrolled or allowed,
                and no others: True is "changed" here. Syncs of two clients that add a learner at
                the very same moment may both have the learner mailed: the platform is not known
                to lock between reading who is enrolled and enrolling, so both may be told of the
                change.
            email_removed: Whether the platform mails learners who are unenrolled.
            reason: As for `apply`.
            preflight: As for `apply`.
            journal: As for `apply`. It has the planned changes: a job that is continued does not
                compare again, but before anybody is removed.
            stop: As for `apply`.

        Raises:
            SyncRefused: if too many would be unenrolled. Nothing is sent, no additions either.
            RosterError: as for `apply`.
            ConfigurationError: as for `apply`.
            JobStopped: if `stop` was set.
            EnrollError: if anything else stopped the job.

        """
        from async_enroll.jobs.diff import checked_flag, diff_options
        from async_enroll.planning.diff import DiffOptions, RosterDiff
        from async_enroll.planning.sync import SyncTerms

        # Nobody is mailed again who waits for registration: no listing shows who does.
        mailed: EmailStudents = "changed" if email_students is True else email_students
        options = Options(auto_enroll, mailed, reason, preflight, stop)
        given = await diff_options(
            courses,
            remove=remove,
            keep=keep,
            max_removals=max_removals,
            remove_modes=remove_modes,
        )
        email_removed = checked_flag(email_removed, "email_removed")
        if isinstance(roster, RosterDiff):
            if given not in (DiffOptions(), roster.options):
                raise ConfigurationError(
                    "roster is a RosterDiff, which was made with other arguments than those given; "
                    "leave them out"
                )
            if roster.site != self._jobs.site:
                words = f"the diff is of {roster.site}; this client is of {self._jobs.site}"
                raise ConfigurationError(words)
            sync = self._jobs.sync(
                await roster_of(roster), SyncTerms(roster.options, email_removed), roster
            )
        else:
            sync = self._jobs.sync(await roster_of(roster), SyncTerms(given, email_removed))
        run_job = self._jobs.of_sync(sync, journal, options)
        return await self._report(run_job, options, sync.told)
