"""MOOCit's listing of enrollments, from its reporting API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import anyio
from yarl import URL

from async_enroll.errors import PlatformError
from async_enroll.http.failures import FailureKind, classify, classify_listing
from async_enroll.http.renewal import renewed
from async_enroll.http.transport import Pieces, Transport
from async_enroll.models import Enrollment, EnrollmentQuery, identity_key
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.accounts import Lookup
from async_enroll.platform.pagination import PageLinks
from async_enroll.platform.query_filters import matching, parameters
from async_enroll.platform.record_stream import ListingReader

REPORTING_LIST = "api/so2/v1/enrollments"

# What a site may answer of a learner whom it does not know: that is not documented.
_NOT_ASKED_SO = (400, 404)


class So2Listing:
    """The listing, read while it arrives.

    It is not known to be counted in the request window: `slots` bounds its requests, and
    a refusal of it or of a bulk call holds both.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: RequestSlots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots

    async def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Give the records that `query` asks for, in lists, some of them empty, as they arrive.

        Raises:
            EnrollError: of the kind that the answer calls for, also after some records.

        """
        filters = parameters(query)
        # The reference documents the filters one at a time: whether the platform honours two
        # together is not known. One alone is the platform's own affair.
        desired = matching(query, datetime.now(UTC)) if len(filters) > 1 else None
        links = PageLinks((self._transport.site / REPORTING_LIST).with_query(filters))
        reader = ListingReader()
        first = True
        async with self._slots.slot() as slot:
            while True:
                async with self._open(links.page, first=first) as pieces:
                    since = anyio.current_time()
                    async for piece in pieces:
                        found = reader.feed(piece)
                        records = list(filter(desired, found)) if desired else found
                        async with slot.lent():
                            yield records
                        if found:
                            since = anyio.current_time()
                        elif anyio.current_time() - since > self._transport.timeout:
                            raise self._transport.too_slow()
                # Of one learner there is little to cut off.
                framed = pieces.framed or query.username is not None
                if not links.follow(reader.close(framed=framed)):
                    return
                reader = ListingReader(start=reader.count)
                first = False

    async def about(self, lookup: Lookup) -> AsyncGenerator[list[Enrollment]]:
        """Give all records of a few learners, one learner after another, else of the courses.

        Records tell addresses, but cannot be asked for by them: where the site does not
        tell who is behind one, the courses are what is read.
        """
        usernames = await _usernames(lookup) if lookup.is_of_few else None
        if usernames is not None:
            queries = [EnrollmentQuery(username=username) for username in usernames]
            try:
                async with aclosing(self._all(queries)) as lists:
                    async for records in lists:
                        yield records
            except PlatformError as error:
                if error.status not in _NOT_ASKED_SO:
                    raise
            else:
                return
        queries = [EnrollmentQuery(course_id=course_id) for course_id in lookup.courses]
        async with aclosing(self._all(queries)) as lists:
            async for records in lists:
                yield records

    async def _all(self, queries: Iterable[EnrollmentQuery]) -> AsyncGenerator[list[Enrollment]]:
        for query in queries:
            async with aclosing(self.enrollments(query)) as lists:
                async for records in lists:
                    yield records

    @asynccontextmanager
    async def _open(self, url: URL, *, first: bool) -> AsyncIterator[Pieces]:
        refusals = self._throttle.refusals()
        renewable = True
        while True:
            await self._throttle.unheld()
            async with self._transport.stream(url) as came_back:
                if isinstance(came_back, Pieces):
                    yield came_back
                    return
            failure = classify_listing(came_back) if first else classify(came_back)
            if renewable and await renewed(self._transport, came_back):
                renewable = False
                continue
            if failure.kind is not FailureKind.THROTTLED:
                raise failure.error
            self._throttle.hold(failure.retry_after)
            if not refusals.again():
                raise failure.error


async def _usernames(lookup: Lookup) -> list[str] | None:
    """The usernames of those looked for who have one; None where not all can be known."""
    addresses = [one for one in lookup.identifiers if "@" in one]
    known = await lookup.usernames.of(addresses)
    if len(known) < len(set(map(identity_key, addresses))):
        return None
    named = [one for one in lookup.identifiers if "@" not in one]
    return sorted({*named, *filter(None, known.values())})
