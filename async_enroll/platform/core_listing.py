"""Open edX's own list of enrollments, which every site has.

Takes an `EnrollmentQuery` or a `Lookup`; gives lists of `Enrollment` to `platform.enrollments`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import islice

import anyio
from attrs import evolve
from yarl import URL

from async_enroll.cancellation import ended
from async_enroll.errors import TransportError
from async_enroll.http.failures import Failure, FailureKind, classify, classify_listing
from async_enroll.http.renewal import renewed
from async_enroll.http.transport import Transport
from async_enroll.models import Enrollment, EnrollmentQuery, identity_key
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.accounts import Accounts, Lookup
from async_enroll.platform.json import Page, page
from async_enroll.platform.pagination import PageLinks, page_after
from async_enroll.platform.query_filters import Recent, matching, parameters, recent

CORE_LIST = "api/enrollment/v1/enrollments"

# openedx/core/djangoapps/enrollments: paginators.py, forms.py
_PAGE_SIZE = 100
_MOST_USERNAMES = 100
_AT_ONCE = 1000
"""Of how many learners the usernames are found before their records are read."""

# The platform refuses a request that names a single username with other characters.
_USERNAME = re.compile(r"[-a-zA-Z0-9_]{2,30}")


class CoreListing:
    """Reads the list page by page. Each page counts in the request window.

    Its records have no e-mail addresses. Where the site discloses them, those of a page are
    fetched with one more request, which does not count in the window.
    """

    def __init__(self, transport: Transport, throttle: Throttle, accounts: Accounts) -> None:
        self._transport = transport
        self._throttle = throttle
        self._accounts = accounts
        self._queue = anyio.Lock()

    async def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Yield the records that match `query`, in lists, some of them empty.

        Raises:
            EnrollError: if a request fails, possibly after some records.

        """
        now = datetime.now(UTC)
        filters = parameters(query)
        filters.pop("days", None)  # the platform has no such filter
        matches, is_recent = matching(query, now), recent(query, now)
        async with aclosing(self._pages(filters)) as pages:
            async for found in pages:
                yield await self._with_addresses(list(filter(matches, found.records)))
                if is_recent and found.newest_first and _ends_before(found, is_recent):
                    return

    def undated(self, course_id: str) -> AsyncGenerator[list[Enrollment]]:
        """As `enrollments`, for a course; this list is read page by page, dates and all."""
        return self.enrollments(EnrollmentQuery(course_id))

    async def about(self, lookup: Lookup) -> AsyncGenerator[list[Enrollment]]:
        """Yield the records of the learners of a lookup, with the addresses that it names.

        Omits learners whose username is unknown or cannot be a filter of this list: reading
        whole courses for them would use too much of the request window.
        """
        left = iter(lookup.identifiers)
        while some := list(islice(left, _AT_ONCE)):
            async with aclosing(self._about(some, lookup)) as lists:
                async for records in lists:
                    yield records

    async def _about(
        self, identifiers: list[str], lookup: Lookup
    ) -> AsyncGenerator[list[Enrollment]]:
        usernames = await lookup.usernames.of(one for one in identifiers if "@" in one)
        email_of = {identity_key(name): email for email, name in usernames.items() if name}
        named = [one for one in identifiers if "@" not in one]
        named += filter(None, usernames.values())  # last, so that the platform's spelling wins
        names = {identity_key(name): name for name in named if _USERNAME.fullmatch(name)}
        for one in identifiers:
            key = identity_key(one)
            # An address without an account has no records.
            name = usernames.get(key, "") if "@" in one else one
            if name is not None and not _USERNAME.fullmatch(name):
                lookup.omitted.add(key)
        for filters in _filters(sorted(names.values()), lookup.courses):
            async with aclosing(self._pages(filters)) as pages:
                async for found in pages:
                    yield [
                        evolve(record, email=email_of.get(identity_key(record.username)))
                        for record in found.records
                        if record.course_id in lookup.courses
                    ]

    async def _with_addresses(self, records: list[Enrollment]) -> list[Enrollment]:
        email_of = await self._accounts.addresses(record.username for record in records)
        if not email_of:
            return records
        return [evolve(record, email=email_of.get(record.username)) for record in records]

    async def _pages(self, filters: dict[str, str]) -> AsyncGenerator[Page]:
        """Yield the pages of a query. Where they are numbered, one is fetched ahead."""
        start = self._transport.site / CORE_LIST
        links = PageLinks(start.with_query({**filters, "page_size": str(_PAGE_SIZE)}))
        count = 0
        pages = None
        first = True
        fetches: dict[URL, asyncio.Task[bytes]] = {}
        try:
            while True:
                for url in filter(None, (links.page, page_after(links.page, pages))):
                    if url not in fetches:
                        fetches[url] = asyncio.create_task(self._body(url, first=first))
                found = page(await fetches[links.page], start=count)
                del fetches[links.page]
                yield found
                if not links.follow(found.next):
                    return
                count += len(found.records)
                first = False
                # A site that links to other pages than expected gets no more requests ahead.
                pages = found.pages if fetches.keys() <= {links.page} else None
        finally:
            for fetch in fetches.values():
                fetch.cancel()
            await ended(*fetches.values())

    async def _body(self, url: URL, *, first: bool) -> bytes:
        """Fetch a page; repeat while the platform throttles the request."""
        refusals = self._throttle.refusals()
        while True:
            reply = await self._ask(url, first=first)
            if not isinstance(reply, Failure):
                return reply
            if reply.kind is not FailureKind.THROTTLED or not refusals.again():
                raise reply.error

    async def _ask(self, url: URL, *, first: bool) -> bytes | Failure:
        # All queries together wait for one permit at a time, so that other calls get theirs.
        async with self._queue:
            permit = await self._throttle.permit()
        with permit:
            try:
                answer = await self._transport.call("GET", url)
                if not answer.ok and await renewed(self._transport, answer):
                    answer = await self._transport.call("GET", url)
            except TransportError as error:
                if not error.sent:
                    permit.unsent()
                raise
            if answer.ok:
                return answer.body
            failure = classify_listing(answer) if first else classify(answer)
            if failure.kind is FailureKind.THROTTLED:
                permit.refused(failure.retry_after)
            return failure


def _ends_before(found: Page, is_recent: Recent) -> bool:
    return bool(found.records) and not is_recent(found.records[-1].created)


def _filters(names: list[str], courses: tuple[str, ...]) -> list[dict[str, str]]:
    """Filters for the records of `names` in `courses`; few names are read in all courses."""
    groups = [
        {"username": ",".join(names[start : start + _MOST_USERNAMES])}
        for start in range(0, len(names), _MOST_USERNAMES)
    ]
    if len(names) < len(courses):
        return groups
    return [{"course_id": course_id, **group} for course_id in courses for group in groups]
