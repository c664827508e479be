"""Reads enrollments from whichever listing the site has: MOOCit's or Open edX's own.

Takes an `EnrollmentQuery` from the client or a `Lookup` from `delivery.reconcile`; gives lists
of `Enrollment` records.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar, get_args

import anyio

from async_enroll.errors import ConfigurationError, NoSuchEndpoint, TransportError
from async_enroll.http.transport import Transport
from async_enroll.models import Enrollment, EnrollmentQuery, ListingKind
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.accounts import Accounts, Lookup
from async_enroll.platform.core_listing import CoreListing
from async_enroll.platform.json import Undated
from async_enroll.platform.so2_listing import So2Listing

R = TypeVar("R")


class Listing(Protocol):
    """A listing of enrollments. Lists may be empty; the first comes after the site has answered."""

    def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Yield the records that match `query`."""
        ...

    def undated(self, course_id: str) -> AsyncGenerator[Sequence[Undated]]:
        """Yield the records of a course; their dates may be missing."""
        ...

    def about(self, lookup: Lookup) -> AsyncGenerator[list[Enrollment]]:
        """Yield records of the learners of a lookup, possibly among others.

        Records have the addresses that the lookup names. Learners who would cost too many
        requests to find are omitted.
        """
        ...


_Ask = Callable[[Listing], AsyncGenerator[R]]


class Reader:
    """Reads from the first of the `listings` that the site has.

    The first query finds out which; concurrent queries wait for it. The choice is remembered
    once that listing has answered.
    """

    def __init__(self, listings: list[Listing]) -> None:
        self._listings = listings
        self._found = listings[0] if len(listings) == 1 else None
        self._finding = anyio.Lock()
        self._silent: TransportError | None = None

    def enrollments(self, query: EnrollmentQuery) -> AsyncGenerator[list[Enrollment]]:
        """Yield the records that match `query`, in lists, as they arrive.

        Raises:
            EnrollError: if a request fails, possibly after some records.

        """
        return self._read(lambda listing: listing.enrollments(query))

    def undated(self, course_id: str) -> AsyncGenerator[Sequence[Undated]]:
        """Yield the records of a course; their dates may be missing. Raises as `enrollments`."""
        return self._read(lambda listing: listing.undated(course_id))

    def about(self, lookup: Lookup) -> AsyncGenerator[list[Enrollment]]:
        """Yield records of the learners of a lookup, possibly among others.

        Records have the addresses that the lookup names. Learners who would cost too many
        requests to find are omitted. Raises as `enrollments` does.
        """
        return self._read(lambda listing: listing.about(lookup))

    async def _read(self, ask: _Ask[R]) -> AsyncGenerator[R]:
        lists, first = await self._begin(ask)
        async with aclosing(lists):
            if first:
                yield first
            async for records in lists:
                if records:
                    yield records

    async def _begin(self, ask: _Ask[R]) -> tuple[AsyncGenerator[R], R | None]:
        """Open a listing; return it and the first list, if reading that was needed to find it."""
        if self._found is None:
            silent_before = self._silent
            async with self._finding:
                silent = self._silent
                if silent and silent is not silent_before:
                    # The site is down: do not make each query wait for it. Each job adds its report
                    # to its exception.
                    raise TransportError(str(silent), sent=silent.sent, timed_out=silent.timed_out)
                if self._found is None:
                    return await self._find(ask)
        return ask(self._found), None

    async def _find(self, ask: _Ask[R]) -> tuple[AsyncGenerator[R], R | None]:
        missing: NoSuchEndpoint | None = None
        for listing in self._listings:
            lists = ask(listing)
            try:
                first = await anext(lists, None)
            except NoSuchEndpoint as error:
                missing = error
                continue
            except TransportError as error:
                self._silent = error
                raise
            if first is not None:
                self._found = listing
            return lists, first
        raise NoSuchEndpoint(
            "the site lists no enrollments, neither as MOOCit nor as Open edX does", status=404
        ) from missing


def reader(
    kind: ListingKind,
    transport: Transport,
    throttle: Throttle,
    slots: RequestSlots,
    accounts: Accounts,
) -> Reader:
    """Build a reader of one kind of listing, or for "auto" of the one that the site has.

    Raises:
        ConfigurationError: if `kind` is unknown.

    """
    listings: dict[str, list[Listing]] = {
        "so2": [So2Listing(transport, throttle, slots)],
        "core": [CoreListing(transport, throttle, accounts)],
    }
    listings["auto"] = [*listings["so2"], *listings["core"]]
    if kind not in listings:
        expected = ", ".join(map(repr, get_args(ListingKind)))
        raise ConfigurationError(f"listing is {kind!r}; expected one of {expected}")
    return Reader(listings[kind])
