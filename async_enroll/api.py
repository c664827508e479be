"""The platform's two endpoints, one request each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
from yarl import URL

from async_enroll.batching import NOBODY
from async_enroll.errors import TransportError, UnexpectedResponse
from async_enroll.listing import ListingReader
from async_enroll.models import Action, Batch, Enrollment, EnrollmentQuery
from async_enroll.slots import Slots
from async_enroll.throttle import MOST_REFUSALS, Throttle, Turn
from async_enroll.transport import Answer, Pieces, Transport
from async_enroll.verdict import Failure, Meaning, classify
from async_enroll.wire import BulkAnswer, bulk_answer, bulk_body

LISTING = "api/so2/v1/enrollments"
BULK_ENROLL = "api/bulk_enroll/v1/bulk_enroll/"


class Api:
    """Both endpoints of one site, behind its throttle.

    Bulk calls go through the request window. The listing is not known to be counted in
    it: `slots` bounds its requests, and a refusal of either holds both.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: Slots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots

    async def bulk_enroll(
        self,
        batch: Batch,
        turn: Turn,
        *,
        auto_enroll: bool,
        email_students: bool,
    ) -> BulkAnswer | Failure:
        """Send one bulk call in its turn.

        A THROTTLED call holds up all others; to send it again is left to the caller.
        """
        body = bulk_body(batch, auto_enroll=auto_enroll, email_students=email_students)
        url = self._transport.site / BULK_ENROLL
        try:
            answer = await self._transport.call("POST", url, body)
            if not answer.ok and await self._renewed(answer):
                answer = await self._transport.call("POST", url, body)
        except TransportError as error:
            if not error.sent:
                turn.unsent()
            return classify(error)
        if not answer.ok:
            failure = classify(answer)
            if failure.meaning is Meaning.THROTTLED:
                turn.refused(failure.retry_after)
            elif failure.retry_after is not None:
                self._throttle.hold(failure.retry_after)
            return failure
        try:
            return bulk_answer(answer.body)
        except UnexpectedResponse as error:
            # It answered 200 in words that cannot be read: it may have done as asked.
            return Failure(Meaning.UNKNOWN, error, status=answer.status)

    async def answers(self) -> bool:
        """Whether the platform answers at all, if only that there is no such course."""
        nothing = Batch(Action.ENROLL, ("preflight",), (NOBODY,))
        async with self._throttle.turn() as turn:
            reply = await self.bulk_enroll(nothing, turn, auto_enroll=False, email_students=False)
        no_answer = (Meaning.UNKNOWN, Meaning.UNDONE, Meaning.UNREACHABLE)
        return isinstance(reply, BulkAnswer) or reply.meaning not in no_answer

    async def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Give the records that `query` asks for, in lists, as they arrive.

        Raises:
            EnrollError: of the kind that the answer calls for, also after some records.

        """
        url: URL | None = (self._transport.site / LISTING).with_query(_parameters(query))
        wanted = _filter(query, datetime.now(UTC))
        visited: set[URL] = set()
        reader = ListingReader()
        async with self._slots.slot() as slot:
            while url is not None:
                visited.add(url)
                reader = ListingReader(start=reader.count)
                async with self._open(url) as pieces:
                    since = anyio.current_time()
                    async for piece in pieces:
                        found = reader.feed(piece)
                        records = list(filter(wanted, found)) if wanted else found
                        if records:
                            async with slot.lent():
                                yield records
                        if found:
                            since = anyio.current_time()
                        elif anyio.current_time() - since > self._transport.timeout:
                            raise self._transport.too_slow()
                url = self._next_page(url, reader.close())
                if url in visited:
                    raise UnexpectedResponse("the pages lead in a circle", path="next")

    @asynccontextmanager
    async def _open(self, url: URL) -> AsyncIterator[Pieces]:
        refusals = 0
        renewable = True
        while True:
            await self._throttle.unheld()
            async with self._transport.stream(url) as came_back:
                if isinstance(came_back, Pieces):
                    yield came_back
                    return
            failure = classify(came_back)
            if renewable and await self._renewed(came_back):
                renewable = False
                continue
            refusals += 1
            if failure.meaning is not Meaning.THROTTLED or refusals == MOST_REFUSALS:
                raise failure.error
            self._throttle.hold(failure.retry_after)

    async def _renewed(self, answer: Answer) -> bool:
        """Whether a call was refused for its token, and there is a new one now."""
        unauthorized = classify(answer).meaning is Meaning.UNAUTHORIZED
        return unauthorized and await self._transport.renew(answer.credentials)

    def _next_page(self, page: URL, address: str | None) -> URL | None:
        """The address of the next page: on this site, or not to be followed.

        Behind a proxy that ends TLS, sites often name themselves with http: the host is
        what counts, and the site's own scheme is what is used.
        """
        if address is None:
            return None
        site = self._transport.site
        there = page.join(URL(address, encoded=True))
        same_port = there.port == site.port or there.explicit_port is None
        if there.host != site.host or not same_port:
            raise UnexpectedResponse(
                f"expected a page of {site.origin()}, found {there.origin()}", path="next"
            )
        return there.with_scheme(site.scheme).with_port(site.explicit_port)


def _parameters(query: EnrollmentQuery) -> dict[str, str]:
    given = {"course_id": query.course_id, "username": query.username, "days": query.days}
    return {name: str(value) for name, value in given.items() if value is not None}


def _filter(query: EnrollmentQuery, now: datetime) -> Callable[[Enrollment], bool] | None:
    """Tells whether a record is what a query with several filters asks for; None with fewer.

    The reference documents the filters one at a time: whether the platform honours two
    together is not known. One alone is the platform's own affair.
    """
    if len(_parameters(query)) < 2:
        return None
    username = query.username and query.username.casefold()
    oldest = now - timedelta(days=query.days) if query.days is not None else None

    def wanted(record: Enrollment) -> bool:
        return (
            (query.course_id is None or record.course_id == query.course_id)
            and (username is None or record.username.casefold() == username)
            and (oldest is None or _is_since(record.created, oldest))
        )

    return wanted


def _is_since(created: datetime, oldest: datetime) -> bool:
    if created.tzinfo is None:
        # The zone is not named; the platform's day may have begun 14 hours before UTC's.
        return created >= oldest.replace(tzinfo=None) - timedelta(hours=14)
    return created >= oldest
