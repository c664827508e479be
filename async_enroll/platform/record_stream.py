"""Incremental parser of MOOCit's enrollment listing: bytes in, enrollments out. No I/O.

A body can hold hundreds of thousands of records, so it is never kept whole. Platforms use four
forms: a JSON array; records separated by commas without brackets (the published reference); a
page object whose ``next``, in it or in its ``pagination``, names the next page; and one record
per line. The first bytes show which. Takes the pieces of a body from `platform.so2_listing`.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from json import JSONDecoder
from typing import Generic, Protocol, TypeVar

import msgspec

from async_enroll.errors import UnexpectedResponse
from async_enroll.http.answer import NOT_JSON
from async_enroll.platform.json import next_page

R = TypeVar("R")

LARGEST_RECORD = 1024 * 1024
"""In bytes. If this much data holds no complete record, the listing is malformed."""

_TRIES = 4
"""Number of guesses at a boundary between records before they are parsed one by one."""

_FIRST_KEY = re.compile(rb'\{\s*"([^"\\]*)"\s*:')
_PAGE_KEYS = frozenset(
    b"count current_page next num_pages pagination previous results start".split()
)
_RESULTS = re.compile(rb'"results"\s*:\s*\[')
_BETWEEN = re.compile(r"\s*,?\s*")
_read_value = JSONDecoder().raw_decode


class _Part(Enum):
    START = auto()
    HEADER = auto()
    RECORDS = auto()
    TRAILER = auto()


class Decode(Protocol[R]):
    """Decodes complete records, as `platform.json.decoded` does."""

    def __call__(self, records: bytes, *, lines: bool = False) -> list[R]:
        """Decode records separated by commas or, if `lines`, by line breaks."""
        ...


class ListingReader(Generic[R]):
    """Parses one body of the listing, in pieces of any size.

    `decode` makes its records. `feed` returns those that each piece completes. `close` ends the
    body and returns the address of the next page, or None.
    """

    def __init__(self, decode: Decode[R], *, start: int = 0) -> None:
        self._decode = decode
        self.count: int = start
        """Number of records so far, including those of earlier pages (`start`)."""
        self._start = start
        self._part = _Part.START
        self._rest = b""
        self._bracketed = False
        self._lines = False
        self._page_header = b""
        self._comma = False

    def feed(self, data: bytes) -> list[R]:
        """Add the next piece of the body; return the records that it completes.

        Raises:
            UnexpectedResponse: if the body is no listing; names the path to the fault.

        """
        self._rest += data
        if self._part is _Part.START:
            self._recognise()
        if self._part is _Part.HEADER:
            self._skip_header()
        found = self._records() if self._part is _Part.RECORDS else []
        if len(self._rest) > LARGEST_RECORD:
            raise self._garbled()
        return found

    def close(self, *, framed: bool = True) -> str | None:
        """End the body; return the `next` of a page object, None for other forms.

        `framed`: whether HTTP marked the end of the body. If it is False, the body ended with
        the connection, and one without brackets may have been cut between two records.

        Raises:
            UnexpectedResponse: if the body is incomplete, or may be.

        """
        # An empty body is a valid listing in the reference's form, which has no brackets.
        empty = self._part is _Part.START and not self._rest.strip()
        if empty or (self._part is _Part.RECORDS and not self._bracketed):
            if self._comma or self._rest.strip():
                raise self._ended_early()
            if not framed:
                raise UnexpectedResponse(
                    f"the listing ends with the connection, after {self.count} records, and so "
                    "may have been cut short; the site should send its length"
                )
            return None
        if self._part is not _Part.TRAILER:
            raise self._ended_early()
        if self._page_header:
            return self._next_page()
        if self._rest[1:].strip():
            raise UnexpectedResponse(f"more data after the end of the {self.count} records")
        return None

    def _recognise(self) -> None:
        self._rest = self._rest.lstrip()
        if not self._rest:
            return
        if self._rest.startswith(b"["):
            self._rest = self._rest[1:]
            self._bracketed = True
            self._part = _Part.RECORDS
        elif self._rest.startswith(b"{"):
            first_key = _FIRST_KEY.match(self._rest)
            if first_key or b"}" in self._rest:
                is_page = first_key is not None and first_key[1] in _PAGE_KEYS
                self._part = _Part.HEADER if is_page else _Part.RECORDS
        else:
            kind = "an HTML page" if self._rest.startswith(b"<") else repr(self._rest[:20])
            raise UnexpectedResponse(f"expected a JSON listing of enrollments, found {kind}")

    def _skip_header(self) -> None:
        results = _RESULTS.search(self._rest)
        if results:
            self._page_header = self._rest[: results.end()]
            self._rest = self._rest[results.end() :]
            self._bracketed = True
            self._part = _Part.RECORDS

    def _records(self) -> list[R]:
        records: list[R] = []
        while True:
            self._step_over_comma()
            found, end = self._complete_records(self._rest)
            if not found:
                break
            records += found
            self._rest = self._rest[end:]
            self.count += len(found)
            self._comma = False
        if self._bracketed and self._rest.startswith(b"]"):
            if self._comma:
                raise self._garbled()
            self._part = _Part.TRAILER
        return records

    def _complete_records(self, data: bytes) -> tuple[list[R], int]:
        """The leading complete records of `data`, and the offset at which they end.

        A ``}`` ends a record exactly if everything up to it decodes as records. Otherwise it is
        inside a record or after the last one, and the ``}`` before it is tried. After a few
        tries, or if a record does not fit, they are read one by one.
        """
        end = data.rfind(b"}")
        if end < 0:
            return [], 0
        for _ in range(_TRIES):
            try:
                found = self._decoded(data[: end + 1])
            except msgspec.ValidationError:
                break
            if found is not None:
                return found, end + 1
            end = data.rfind(b"}", 0, end)
            if end < 0:
                break
        return self._one_by_one(data)

    def _decoded(self, records: bytes) -> list[R] | None:
        """Decode complete records; None if that is not what they are."""
        for lines in (self._lines, not self._lines):
            if lines and self._bracketed:
                continue
            try:
                found = self._decode(records, lines=lines)
            except msgspec.ValidationError:
                raise
            except NOT_JSON:
                continue
            self._lines = lines
            return found
        return None

    def _one_by_one(self, data: bytes) -> tuple[list[R], int]:
        """As `_complete_records`, for any mix of separators. Slow; says which record is bad."""
        text = data.decode("latin-1")  # one character per byte; JSON's syntax is ASCII
        found: list[R] = []
        end = start = 0
        while text.startswith("{", start):
            try:
                _, end = _read_value(text, start)
            except (ValueError, RecursionError):
                break
            found += self._one(data[start:end], self.count + len(found))
            between = _BETWEEN.match(text, end)
            start = between.end() if between else end
        return found, end

    def _one(self, record: bytes, number: int) -> list[R]:
        path = f"records[{number}]"
        try:
            return self._decode(record)
        except msgspec.ValidationError as error:
            from async_enroll.platform.explain import enrollments

            enrollments([msgspec.json.decode(record)], start=number)  # raises, and says more
            raise UnexpectedResponse(str(error), path=path) from None
        except NOT_JSON as error:
            raise UnexpectedResponse(f"not JSON: {error}", path=path) from None

    def _step_over_comma(self) -> None:
        self._rest = self._rest.lstrip()
        between_records = self.count > self._start and not self._comma
        if between_records and self._rest.startswith(b","):
            self._comma = True
            self._rest = self._rest[1:].lstrip()

    def _next_page(self) -> str | None:
        try:
            page = msgspec.json.decode(self._page_header + self._rest)
        except NOT_JSON:
            raise self._ended_early() from None
        return next_page(page)

    def _ended_early(self) -> UnexpectedResponse:
        return UnexpectedResponse(f"the listing ends early, after {self.count} records")

    def _garbled(self) -> UnexpectedResponse:
        return UnexpectedResponse("expected a record", path=f"records[{self.count}]")
