"""MOOCit's reporting API, which lists enrollments.

Takes an `EnrollmentQuery` or a `Lookup`; gives lists of `Enrollment` to `platform.enrollments`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

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
from async_enroll.platform.json import UndatedRecord, decoded, undated
from async_enroll.platform.pagination import PageLinks
from async_enroll.platform.query_filters import matching, parameters
from async_enroll.platform.record_stream import Decode, ListingReader

R = TypeVar("R")

REPORTING_LIST = "api/so2/v1/enrollments"

# Possible answers to a filter by an unknown username; the reference does not say which.
_UNKNOWN_USERNAME = (400, 404)


class So2Listing:
    """Reads the listing while it arrives.

    Its requests are not known to count in the request window, so `slots` bounds them instead.
    A throttled request, of the listing or a bulk call, holds both.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: RequestSlots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots

    async def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Yield the records that match `query` as they arrive, in lists, some of them empty.

        Raises:
            EnrollError: if a request fails, possibly after some records.

        """
        # The reference documents single filters only. Whether the platform combines them is
        # unknown, so we filter again; a single filter is left to the platform.
        several = len(parameters(query)) > 1
        matches = matching(query, datetime.now(UTC)) if several else None
        async with aclosing(self._read(query, decoded)) as lists:
            async for records in lists:
                yield list(filter(matches, records)) if matches else records

    def undated(self, course_id: str) -> AsyncGenerator[list[UndatedRecord]]:
        """As `enrollments`, for a course, without the dates of the records."""
        return self._read(EnrollmentQuery(course_id), undated)

    async def _read(self, query: EnrollmentQuery, decode: Decode[R]) -> AsyncGenerator[list[R]]:
        filters = parameters(query)
        links = PageLinks((self._transport.site / REPORTING_LIST).with_query(filters))
        reader = ListingReader(decode)
        first = True
        async with self._slots.slot() as slot:
            while True:
                async with self._open(links.page, first=first) as pieces:
                    since = anyio.current_time()
                    async for piece in pieces:
                        found = reader.feed(piece)
                        async with slot.lent():
                            yield found
                        if found:
                            since = anyio.current_time()
                        elif anyio.current_time() - since > self._transport.timeout:
                            raise self._transport.too_slow()
                # The few records of one learner are unlikely to be cut short.
                framed = pieces.framed or query.username is not None
                if not links.follow(reader.close(framed=framed)):
                    return
                reader = ListingReader(decode, start=reader.count)
                first = False

    async def about(self, lookup: Lookup) -> AsyncGenerator[list[Enrollment]]:
        """Yield all records of the learners if they are few, otherwise all of the courses.

        The listing has addresses, but no filter by address. If the site does not disclose the
        username of an address, the courses are read instead.
        """
        usernames = await _usernames(lookup) if lookup.is_of_few else None
        if usernames is not None:
            queries = [EnrollmentQuery(username=username) for username in usernames]
            try:
                async with aclosing(self._all(queries)) as lists:
                    async for records in lists:
                        yield records
            except PlatformError as error:
                if error.status not in _UNKNOWN_USERNAME:
                    raise
            else:
                return
        queries = [EnrollmentQuery(course_id=course_id) for course_id in lookup.courses]
        without_addresses = False
        async with aclosing(self._all(queries)) as lists:
            async for records in lists:
                without_addresses |= any(record.email is None for record in records)
                yield records
        if without_addresses:
            lookup.omitted.update(identity_key(one) for one in lookup.identifiers if "@" in one)

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
            async with self._transport.stream(url) as response:
                if isinstance(response, Pieces):
                    yield response
                    return
            failure = classify_listing(response) if first else classify(response)
            if renewable and await renewed(self._transport, response):
                renewable = False
                continue
            if failure.kind is not FailureKind.THROTTLED:
                raise failure.error
            self._throttle.hold(failure.retry_after)
            if not refusals.again():
                raise failure.error


async def _usernames(lookup: Lookup) -> list[str] | None:
    """The usernames of the learners who have one; None if the site does not disclose them all."""
    addresses = [one for one in lookup.identifiers if "@" in one]
    known = await lookup.usernames.of(addresses)
    if len(known) < len(set(map(identity_key, addresses))):
        return None
    named = [one for one in lookup.identifiers if "@" not in one]
    return sorted({*named, *filter(None, known.values())})
