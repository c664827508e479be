"""`EnrollmentClient`, the entry point of the package: one method for each kind of work.

Listings go to `platform`, jobs to `jobs.jobs`. What comes back becomes an `EnrollmentReport` or a
stream of `EnrollmentResult`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from async_enroll.client.sync import SyncClient
from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.jobs.inputs import AnyIterable, cross_product, each
from async_enroll.jobs.options import Options, Signal
from async_enroll.models import (
    Action,
    EmailStudents,
    Emit,
    Enrollment,
    EnrollmentQuery,
    EnrollmentResult,
    RosterEntry,
)
from async_enroll.planning.batching import Place
from async_enroll.platform.concurrent_queries import side_by_side

if TYPE_CHECKING:
    from async_enroll.jobs.undo import UndoPlan
    from async_enroll.jobs.verify import Verified
    from async_enroll.planning.plan import Plan
    from async_enroll.reports.report import EnrollmentReport


class EnrollmentClient(SyncClient):
    """Enrolls and unenrolls learners, and lists who is enrolled.

    Use it as an asynchronous context manager. Create one per site and share it between tasks:
    they then share its request window and its connections. ::

        async with EnrollmentClient("https://courses.example.org", token) as client:
            report = await client.bulk_enroll(["jane@example.org"], ["course-v1:Org+C1+2026"])

    In a notebook, where no block spans several cells, use `open` and `aclose`. ::

        client = await EnrollmentClient("https://courses.example.org", token).open()

    It runs on asyncio alone, also under anyio; trio is not supported.

    Args:
        base_url: The URL of the site. Plain http is accepted for loopback only, unless
            `allow_http` is set.
        auth: A bearer token; `ClientCredentials`, to sign in on any Open edX site; or an
            object that provides the ``Authorization`` header.
        window: The platform's throttle, in bulk calls per seconds. Default: 120 in 60 seconds.
        shared_window: Where all processes whose calls the platform counts together share their
            window: "redis://…" or "rediss://…" (extra ``[redis]``), or "file:///…" for the
            processes of one host; "file:///" alone is a file in the user's run-time folder.
            Those share it whose tokens are of the same user of the site, as it tells when the
            client opens, or who add the same ``?name=…``. Costs a round trip or two a call. While
            it cannot be reached, the client has a window of its own. Default: None, no sharing.
        concurrency: Maximum number of bulk calls in flight, and separately of queries.
        batch: Maximum size of one bulk call.
        timeout: Seconds that one bulk call may take; for a query, seconds without data.
        settle: Seconds after which a lost call is assumed to have ended on the platform; also
            the time limit for reading the listing to find its outcome.
        patience: Seconds to wait for a platform that fails or refuses every call, or asks for a
            pause, before the job stops.
        listing: Where to read enrollments: "so2" for MOOCit's reporting API, "core" for Open
            edX's own list, "auto" for the one that the site has.
        on_event: Called with each event of each job (see `async_enroll.events`). It must not
            block. Its exceptions are logged and otherwise ignored.
        session: An aiohttp session to use, with its own TLS and proxy settings; the client does
            not close it. It needs aiohttp 3.14.1, which opens a new connection for each call. None
            to let the client create its sessions.
        ssl_context: TLS settings, such as a private certificate authority or a client
            certificate. None for the system's authorities, or those in ``SSL_CERT_FILE``.
        trust_env: Whether to use the proxy in ``HTTPS_PROXY`` or ``HTTP_PROXY``, except for the
            hosts in ``NO_PROXY``. ~/.netrc is never read.
        allow_http: Whether to accept plain http for hosts other than loopback.

    Raises:
        ConfigurationError: if an argument is unusable. The message says what is expected.

    """

    async def enrollments(
        self,
        *,
        course_id: str | None = None,
        username: str | None = None,
        days: int | None = None,
    ) -> AsyncGenerator[Enrollment]:
        """List enrollments, of all courses and learners unless filtered.

        Yields records while the response arrives; memory use does not grow with its size. The
        loop may be left at any time.

        Open edX's own list has no e-mail addresses. If the token may read those of the site's
        accounts, they are fetched with one more request per 100 records, outside the request
        window; otherwise `email` is None.

        Args:
            course_id: Only enrollments in this course.
            username: Only enrollments of this learner.
            days: Only enrollments created in the last that many days.

        Raises:
            ConfigurationError: if a filter is unusable.
            EnrollError: if the listing fails, possibly after some records. A listing that ends
                early raises; it never looks like a shorter list.

        """
        query = EnrollmentQuery(course_id, username, days)
        async with aclosing(self._reader.enrollments(query)) as lists:
            async for records in lists:
                for record in records:
                    yield record

    async def enrollments_for(
        self, queries: AnyIterable[EnrollmentQuery]
    ) -> AsyncGenerator[Enrollment]:
        """Run several queries concurrently; yield each record (learner and course) once.

        Raises:
            ConfigurationError: if an item is no `EnrollmentQuery`.
            EnrollError: if a query fails; the others are then cancelled.

        """
        distinct: dict[EnrollmentQuery, None] = {}
        async for query in each(queries, "queries"):
            if not isinstance(query, EnrollmentQuery):
                raise ConfigurationError(
                    f"queries holds a {type(query).__name__}; expected EnrollmentQuery objects"
                )
            distinct[query] = None

        async def produce(emit: Emit[list[Enrollment]]) -> None:
            ask = self._reader.enrollments
            await side_by_side(ask, distinct, emit, concurrency=self._concurrency)

        seen: defaultdict[str, set[str]] = defaultdict(set)  # usernames by course
        async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as lists:
            async for records in lists:
                for record in records:
                    usernames = seen[record.course_id]
                    if record.username not in usernames:
                        if len(distinct) > 1:  # a single query needs no deduplication
                            usernames.add(record.username)
                        yield record

    async def bulk_enroll(
        self,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        *,
        cohorts: Mapping[str, str] | None = None,
        auto_enroll: bool = True,
        email_students: EmailStudents = False,
        reason: str | None = None,
    ) -> EnrollmentReport:
        """Enroll every identifier in every course.

        Args:
            identifiers: E-mail addresses or usernames. Duplicates are ignored, also those that
                differ in case.
            courses: Course keys.
            cohorts: The cohort to place learners in, by course key, for some or all courses.
            auto_enroll: Whether an address without an account is enrolled on registration, and
                an account that is not activated on activation.
            email_students: Whom the platform mails: everyone, including learners who are already
                enrolled; nobody; or with "changed" those who were neither enrolled nor waiting
                for registration or activation, in up to twice the calls.
            reason: The reason, for the platform's audit trail of manual enrollments; up to 255
                characters.

        Raises:
            ConfigurationError: if an argument is unusable.
            EnrollError: if the job is stopped; its `report` has the results so far. A pair
                that fails does not raise: it is a result.

        """
        options = Options(auto_enroll, email_students, reason)
        work = cross_product(Action.ENROLL, identifiers, courses, cohorts, self._limits)
        return await self._report(self._jobs.of_work(work, options), options)

    async def bulk_unenroll(
        self,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        *,
        email_students: EmailStudents = False,
        reason: str | None = None,
    ) -> EnrollmentReport:
        """Unenroll every identifier from every course.

        Enrollments that await registration or activation are cancelled. Arguments and
        exceptions are those of `bulk_enroll`. Mail goes only to learners who were enrolled or
        awaited registration or activation, so that True and "changed" mean the same.
        """
        options = Options(auto_enroll=True, email_students=email_students, reason=reason)
        work = cross_product(Action.UNENROLL, identifiers, courses, None, self._limits)
        return await self._report(self._jobs.of_work(work, options), options)

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """Check the courses and cohorts of a plan on the platform, without changing anything.

        Returns the places that the platform refuses, each with its error.

        Raises:
            EnrollError: if the check could not be made.

        """
        return await self._jobs.preflight(plan)

    async def apply(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: EmailStudents = False,
        reason: str | None = None,
        preflight: bool | None = None,
        journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> EnrollmentReport:
        """Apply a roster: enroll and unenroll the learners it lists, in as few calls as possible.

        Any exception that ends the job early, including cancellation and errors raised by the
        roster itself, has the results so far as its `report`; pairs in flight are UNCONFIRMED.

        Args:
            roster: A `Roster`, a `Plan`, or any other iterable of `RosterEntry` objects.
            auto_enroll: Whether an address without an account is enrolled on registration, and
                an account that is not activated on activation.
            email_students: Whom the platform mails: everyone, including learners who are already
                enrolled; nobody; or with "changed" those who were neither enrolled nor waiting
                for registration or activation, in up to twice the calls.
            reason: The reason, for the platform's audit trail of manual enrollments; up to 255
                characters.
            preflight: True checks all courses and cohorts with one call that changes nothing,
                before any learner is changed; pairs of bad ones are rejected. None does so
                except for those found good in the last ten minutes. False checks each just
                before its first call.
            journal: A file for the durable record of the job, readable by its owner only. If it
                exists and has the same roster, site and options, the job continues where it
                ended, and the report covers all of it. If that job is finished, nothing is
                sent, and `finished_earlier` of the report is True.
            stop: An `anyio.Event` or `asyncio.Event`. Once it is set, no more calls are sent;
                the job finishes those in flight and raises `JobStopped`.

        Raises:
            RosterError: if entries contradict each other; nothing is sent.
            ConfigurationError: if the journal belongs to another job or is in use.
            JobStopped: if `stop` was set.
            EnrollError: if anything else stopped the job.

        """
        options = Options(auto_enroll, email_students, reason, preflight, stop)
        run_job = self._jobs.of_roster(roster, journal, options, earlier=True)
        return await self._report(run_job, options)

    async def stream(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: EmailStudents = False,
        reason: str | None = None,
        preflight: bool | None = None,
        journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> AsyncGenerator[EnrollmentResult]:
        """Apply a roster as `apply` does; yield the results as calls return.

        Arguments and exceptions are those of `apply`, but exceptions are raised after all
        results so far are yielded, and carry no report. A continued job yields new results only.

        A slow consumer slows the job down. Leaving the loop cancels the job: calls in flight
        are cut off, and their outcomes stay unknown. If the consumer is cancelled while it
        waits, `results` of the CancelledError has the results not yet yielded; pairs in flight
        are UNCONFIRMED.
        """
        options = Options(auto_enroll, email_students, reason, preflight, stop)
        run_job = self._jobs.of_roster(roster, journal, options, earlier=False)
        async with aclosing(self._results(run_job)) as results:
            async for result in results:
                yield result

    async def plan_undo(self, journal: str | os.PathLike[str]) -> UndoPlan:
        """Look up what undoing the job of a journal would do, without changing anything.

        Returns:
            The calls, in `plan`. Iterating yields identifier, course key and reason of every pair
            that is left alone; `counts` has the number of pairs by reason.

        Raises:
            ConfigurationError: as for `undo`.
            EnrollError: if the platform cannot be asked.

        """
        return await self._jobs.plan_undo(journal)

    async def undo(
        self,
        journal: str | os.PathLike[str],
        *,
        email_students: bool = False,
        reason: str | None = None,
        undo_journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> EnrollmentReport:
        """Undo the job of a journal: take every pair back to its state before the job.

        Enrolled learners are unenrolled, unenrolled ones enrolled again; addresses no longer wait
        for registration, or wait again with their own `auto_enroll`; learners return to their
        earlier cohorts. Pairs are left alone that the job has not changed, whose earlier state is
        unknown or cannot be restored, or that have changed since; all are looked up first. The
        journal of the undo names them (`JournalReport.left_alone`).

        An unfinished job is closed: calls that were in flight are looked up, and what was not
        sent never is. A job that is undone cannot be resumed; an undo can be undone.

        Args:
            journal: The journal of the job.
            email_students: Whether the platform mails the learners who are taken back, and no
                others: True is "changed" here.
            reason: As for `apply`.
            undo_journal: The journal of the undo. None for ``job.undo.db`` beside ``job.db``. If
                it exists, the undo continues where it ended, with the options it was begun with.
                What is left is looked up once more; pairs that have changed meanwhile are left
                alone, and told as REJECTED.
            stop: As for `apply`.

        Raises:
            ConfigurationError: if a file is no journal, belongs to another job or site, or is in
                use.
            EnrollError: if the platform cannot be asked; nothing was changed. Otherwise as for
                `apply`.

        """
        # Nobody is mailed again who waits for registration: no listing shows who does.
        mailed: EmailStudents = "changed" if email_students is True else email_students
        options = Options(True, mailed, reason, stop=stop)
        run_job = self._jobs.of_undo(journal, undo_journal, options)
        return await self._report(run_job, options)

    async def verify(self, journal: str | os.PathLike[str]) -> AsyncGenerator[Verified]:
        """Look up whether what a job has reported still holds.

        Yields every pair that was reported to be as asked, once all listings are read. `holds`
        is True, False, or None where it cannot be seen, such as who waits for registration.

        Raises:
            ConfigurationError: if the file is no journal, or belongs to another site.
            EnrollError: if a listing cannot be read to its end.

        """
        async with aclosing(self._jobs.verify(journal)) as lists:
            async for some in lists:
                for pair in some:
                    yield pair

    async def resume(
        self, journal: str | os.PathLike[str], *, stop: Signal | None = None
    ) -> AsyncGenerator[EnrollmentResult]:
        """Continue the job of a journal with its original options; yield new results only.

        Finished pairs are not sent again. Pairs that were in flight when the job ended are
        first looked up on the platform. A finished job sends nothing.

        Args:
            journal: The file that was passed to `apply` or `stream`.
            stop: As for `apply`.

        Raises:
            ConfigurationError: if the file is no journal, belongs to another site, or is in use.
            EnrollError: as for `stream`.

        """
        async with aclosing(self._results(self._jobs.of_journal(journal, stop))) as results:
            async for result in results:
                yield result
