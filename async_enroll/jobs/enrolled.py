"""Looks up pairs of a journal on the platform: who of them is enrolled now, and in which mode.

Identifiers are usernames or e-mail addresses, told apart from records as the platform does: without
regard to case. `jobs.undo` and `jobs.verify` use it; it reads through `platform.enrollments` and
`platform.accounts`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from attrs import frozen

from async_enroll.models import Enrollment, identity_key, loose_key
from async_enroll.planning.inverse import Seen
from async_enroll.platform.accounts import Accounts, Lookup, Usernames, lookups
from async_enroll.platform.concurrent_queries import side_by_side
from async_enroll.platform.enrollments import Reader

S = TypeVar("S")

_AT_ONCE = 1000


async def read_records(
    reader: Reader,
    some: Iterable[Lookup],
    found: Callable[[Enrollment, list[str]], None],
    *,
    concurrency: int,
) -> None:
    """Read the records of lookups concurrently, each with the identity keys of its learner.

    Raises:
        EnrollError: if a query fails, possibly after some records.

    """

    async def emit(records: list[Enrollment]) -> None:
        for record in records:
            names = (name for name in (record.username, record.email) if name is not None)
            found(record, list(dict.fromkeys(map(identity_key, names))))

    await side_by_side(reader.about, some, emit, concurrency=concurrency)


class _Record(NamedTuple):
    """What a listing shows of a pair."""

    active: bool
    mode: str
    named_twice: bool


@frozen
class SeenPair(Generic[S]):
    """A pair with what it was added with, and what the platform shows of it."""

    identifier: str
    course_id: str
    subject: S
    seen: Seen


class Pairs(Generic[S]):
    """Pairs to look up, each with a `subject`; some hundred bytes a pair if subjects are shared."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, tuple[S, _Record | None]]] = {}
        self._spellings: dict[str, str] = {}
        # Spellings that the platform may have taken for those of a record, which is listed with
        # others: MySQL compares without accents.
        self._accented: set[str] = set()
        self._alike: set[tuple[str, str]] = set()
        # Few pairs differ in subject and record: they share them.
        self._shared: dict[tuple[S, _Record | None], tuple[S, _Record | None]] = {}

    def add(self, course_id: str, identifiers: Iterable[str], subject: S) -> None:
        """Add pairs of one course."""
        of_course = self._found.setdefault(course_id, {})
        value = self._share(subject, None)
        for identifier in identifiers:
            key = identity_key(identifier)
            if not key.isascii():
                self._accented.add(loose_key(key))
            if key == identifier:
                of_course[identifier] = value  # keep one object instead of two
            else:
                self._spellings.setdefault(key, identifier)
                of_course[key] = value

    def _share(self, subject: S, record: _Record | None) -> tuple[S, _Record | None]:
        value = subject, record
        return self._shared.setdefault(value, value)

    def _spelled(self, key: str) -> str:
        return self._spellings.get(key, key)

    async def look_up(
        self,
        reader: Reader,
        accounts: Accounts,
        *,
        concurrency: int,
        asks_for_account: Callable[[S], bool] = lambda _: True,
    ) -> AsyncGenerator[list[SeenPair[S]]]:
        """Yield all pairs in lists, once all listings are read; can be used once.

        `asks_for_account`: whether it matters if an address that is not listed has an account.

        Raises:
            EnrollError: before the first list, if a listing cannot be read to its end.

        """
        usernames = Usernames(accounts)
        asked = {key: list(map(self._spelled, found)) for key, found in self._found.items()}
        some = lookups(asked, usernames)
        del asked
        await read_records(reader, some, self._note, concurrency=concurrency)
        omitted = set().union(*(lookup.omitted for lookup in some))
        del some
        while self._found:
            course_id = next(iter(self._found))
            of_course = self._found.pop(course_id)
            keys, values = list(of_course), list(of_course.values())
            of_course.clear()  # the consumer keeps pairs of its own
            pairs = zip(keys, values, strict=True)
            while part := list(islice(pairs, _AT_ONCE)):
                registered = await usernames.of(
                    self._spelled(key)
                    for key, (subject, record) in part
                    if record is None and "@" in key and asks_for_account(subject)
                )
                yield [
                    SeenPair(
                        self._spelled(key),
                        course_id,
                        subject,
                        _seen(
                            record,
                            visible=key not in omitted
                            and (course_id, loose_key(key)) not in self._alike,
                            account=_has_account(key, registered),
                        ),
                    )
                    for key, (subject, record) in part
                ]

    def _note(self, record: Enrollment, keys: list[str]) -> None:
        of_course = self._found.get(record.course_id, {})
        asked = [key for key in keys if key in of_course]
        for key in keys:
            loose = loose_key(key)
            if key not in of_course and (loose in self._accented or loose in of_course):
                self._alike.add((record.course_id, loose))
        for key in asked:
            seen = _Record(record.is_active, record.mode, len(asked) > 1)
            of_course[key] = self._share(of_course[key][0], seen)


def _has_account(key: str, registered: Mapping[str, str | None]) -> bool | None:
    if "@" not in key:
        return True
    return registered[key] is not None if key in registered else None


def _seen(record: _Record | None, *, visible: bool, account: bool | None) -> Seen:
    if record is None:
        return Seen(visible, account=account)
    return Seen(True, record.active, record.mode, account=True, named_twice=record.named_twice)
