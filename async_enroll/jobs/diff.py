"""Reads who is enrolled in the courses of a roster, and compares. Changes nothing.

Takes desired pairs from `client` and `jobs.sync`; gives a `RosterDiff`. What decides is in
`planning.comparison`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Final

from anyio import to_thread
from attrs import define

from async_enroll.errors import (
    ConfigurationError,
    NoSuchEndpoint,
    PermissionDenied,
    PlatformError,
    RosterError,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.models import identity_key
from async_enroll.planning.comparison import CourseComparison
from async_enroll.planning.desired import Desired
from async_enroll.planning.diff import DiffOptions, RosterDiff
from async_enroll.planning.guard import checked_bound
from async_enroll.planning.protection import Protection
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.concurrent_queries import side_by_side
from async_enroll.platform.enrollments import Reader
from async_enroll.platform.lookups import FoundAccounts, look_up
from async_enroll.roster import Roster
from async_enroll.roster.cells import Unreadable, identifier_of

Keep = Collection[str] | os.PathLike[str]
"""Identifiers that are never unenrolled, or a text file with one in each line."""

_PASSING: Final = (TransportError, PlatformError, UnexpectedResponse)
"""Failures of one listing, which say nothing of the site's other listings."""


async def diff_options(
    courses: Iterable[str] | None,
    *,
    remove: bool,
    keep: Keep,
    max_removals: object,
    remove_modes: Collection[str],
) -> DiffOptions:
    """Check the arguments of a diff.

    Raises:
        ConfigurationError: if one is unusable. Names what is expected.

    """
    if isinstance(keep, os.PathLike):
        kept: object = await to_thread.run_sync(identifiers_in, keep, f"keep {keep}")
    else:
        kept = keep
    return DiffOptions(
        None if courses is None else _texts(courses, "courses"),
        checked_flag(remove, "remove"),
        _texts([_identifier(who, "keep") for who in _texts(kept, "keep")], "keep"),
        checked_bound(max_removals),
        _texts(remove_modes, "remove_modes"),
    )


def checked_flag(value: object, name: str) -> bool:
    """Return a flag as given. Raises ConfigurationError if it is no boolean."""
    if not isinstance(value, bool):
        found = type(value).__name__
        raise ConfigurationError(f"{name} is a {found}; expected True or False")
    return value


def _texts(given: object, name: str) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{name} is a single {type(given).__name__}; expected a list")
    texts: dict[str, None] = {}
    for text in given:
        if not isinstance(text, str):
            raise ConfigurationError(f"{name} holds a {type(text).__name__}; expected strings")
        if not text.strip():
            raise ConfigurationError(f"{name} holds an empty string; expected text")
        texts[str.strip(text)] = None
    return tuple(texts)


def identifiers_in(path: os.PathLike[str], name: str) -> list[str]:
    """Read identifiers from a text file, which errors call `name`. Blocks.

    Raises:
        ConfigurationError: if there is anything else in it, which would leave somebody
            unprotected.

    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: not a text file in UTF-8") from None
    lines = enumerate(text.splitlines(), 1)
    read = (_identifier(line, f"{name}, line {number}") for number, line in lines)
    found = list(filter(None, read))
    if not found:
        raise ConfigurationError(f"{name}: names nobody; expected an identifier in each line")
    return found


def _identifier(text: str, name: str) -> str:
    """The identifier in a text, as a roster's cell is read; empty if there is none."""
    found = identifier_of(text)
    if isinstance(found, Unreadable):
        raise ConfigurationError(f"{name}: {found.words}")
    return found


def _check_spellings(roster: Roster, options: DiffOptions) -> None:
    """Check that no two courses are one to the platform: each would be without the other's rows.

    Raises:
        RosterError: if two are.

    """
    spelled: dict[str, str] = {}
    twins: dict[str, str] = {}
    named = (assignment.course_id for assignment in roster.desired.assignments)
    for course_id in (*(options.courses or ()), *named):
        first = spelled.setdefault(identity_key(course_id), course_id)
        if first != course_id:
            twins[course_id] = first
    if twins:
        raise RosterError(
            roster.source,
            [
                f"found the course {course_id} also as {first}; expected one spelling, since the "
                "platform lists both as one course"
                for course_id, first in twins.items()
            ],
        )


@define
class Comparer:
    """Compares rosters with the enrollments of one site."""

    site: str
    _reader: Reader
    _accounts: Accounts
    _concurrency: int

    async def diff(
        self, roster: Roster, options: DiffOptions, *, partial: bool = False
    ) -> RosterDiff:
        """Read the courses of a roster, or those in `options`, and compare.

        Args:
            roster: The roster.
            options: What to compare.
            partial: Whether a course whose listing breaks off is compared as far as it was read,
                and its removals withheld, instead of raising.

        Raises:
            RosterError: if a course is spelled in two ways.
            EnrollError: if the site cannot be read.

        """
        _check_spellings(roster, options)
        read = time.time()
        courses = await to_thread.run_sync(_comparisons, roster.desired, options)
        own, why_unknown = await self._own() if courses else (None, None)
        await self._read(courses, partial=partial)
        found = await self._resolve([course for course in courses if not course.failed], own)
        keep, why_unprotected = list(options.keep), None
        if any(course.has_unknown_addresses for course in courses):
            accounts = await look_up(
                self._accounts, _addresses(keep), own, concurrency=self._concurrency
            )
            keep += [account.username for account in accounts.known.values() if account]
            if accounts.failed or accounts.left_out:
                why_unprotected = f"accounts to be kept could not be looked up: {accounts.why}"
        protection = Protection.of(own, keep, options.remove_modes)

        def result() -> RosterDiff:
            results = {}
            for course in courses:
                why = course.failed or why_unknown or _why_unresolved(course, found)
                if why is None and course.has_unknown_addresses:
                    why = why_unprotected
                results[course.course_id] = course.result(protection, why)
            return RosterDiff(
                results,
                options,
                self.site,
                roster.source,
                roster.desired,
                read,
                roster.skipped,
                roster.lines or None,
            )

        return await to_thread.run_sync(result)

    async def _own(self) -> tuple[str | None, str | None]:
        """The token's own username; None where it is unknown, and why."""
        try:
            return await self._accounts.own(), None
        except (ConfigurationError, PermissionDenied, *_PASSING) as error:
            return None, f"the token's own user, who must not be removed, is unknown: {error}"

    async def _read(self, courses: Collection[CourseComparison], *, partial: bool) -> None:
        async def ask(course: CourseComparison) -> AsyncGenerator[None]:
            try:
                async with aclosing(self._reader.undated(course.course_id)) as lists:
                    async for records in lists:
                        course.feed(records)
                        yield
            except _PASSING as error:
                if not partial or isinstance(error, NoSuchEndpoint):
                    raise
                course.failed = f"its list of enrollments could not be read to its end: {error}"

        async def ignore(_: None) -> None:
            pass

        await side_by_side(ask, courses, ignore, concurrency=self._concurrency)

    async def _resolve(
        self, courses: Collection[CourseComparison], own: str | None
    ) -> FoundAccounts:
        """Look up the accounts of those whom the listing does not show."""
        unseen = {identity_key(who): who for course in courses for who in course.unseen()}
        found = await look_up(self._accounts, unseen.values(), own, concurrency=self._concurrency)
        for course in courses:
            course.resolve(found.known)
        return found


def _comparisons(desired: Desired, options: DiffOptions) -> list[CourseComparison]:
    """A comparison for each course that is given, or else named by the roster."""
    given = options.courses
    courses = {course_id: CourseComparison(course_id) for course_id in given or ()}
    identifiers: list[list[str]] = [[] for _ in desired.assignments]
    for identifier, numbers in desired.learners():
        for number in numbers:
            identifiers[number].append(identifier)
    for assignment, some in zip(desired.assignments, identifiers, strict=True):
        if given is None and assignment.course_id not in courses:
            courses[assignment.course_id] = CourseComparison(assignment.course_id)
        if assignment.course_id in courses:
            courses[assignment.course_id].add(assignment, some)
    return list(courses.values())


def _addresses(identifiers: Iterable[str]) -> list[str]:
    return [identifier for identifier in identifiers if "@" in identifier]


def _why_unresolved(course: CourseComparison, found: FoundAccounts) -> str | None:
    """Why it is not certain who is who in a course; None where it is."""
    unknown: set[str] = set()
    # Where the site answers no look-ups at all, or they would be too many, the listing's own
    # addresses have to do.
    if found.available or found.known or course.has_unknown_addresses:
        unknown |= found.failed
    if course.has_unknown_addresses:
        unknown |= found.left_out
    if not unknown or unknown.isdisjoint(map(identity_key, course.unseen())):
        return None
    return f"accounts of the roster could not be looked up: {found.why}"
