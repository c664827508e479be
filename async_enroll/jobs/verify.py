"""Verifies the results of a job: whether what was reported still holds on the platform.

Reads the results of a journal and looks their pairs up with `jobs.enrolled`; `holds` decides.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

from anyio import to_thread
from attrs import frozen

from async_enroll.jobs.enrolled import Pairs
from async_enroll.models import Outcome
from async_enroll.planning.inverse import Seen
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.enrollments import Reader
from async_enroll.results import ResultDetail

_ENROLLED = frozenset({Outcome.ENROLLED, Outcome.ALREADY_ENROLLED})


@frozen
class Verified:
    """A pair that was reported as asked for, and whether it still is.

    `holds` is None where that cannot be seen: no listing shows who waits for registration or
    activation. `now` says in words what the platform shows.
    """

    identifier: str
    course_id: str
    outcome: Outcome
    holds: bool | None
    now: str


@frozen
class _Reported:
    """What was reported of a pair. `user`: there was an account, None where that is not known."""

    outcome: Outcome
    user: bool | None

    @classmethod
    def of(cls, detail: ResultDetail) -> _Reported:
        return cls(detail.outcome, detail.after.user if detail.after else None)


def holds(outcome: Outcome, user: bool | None, seen: Seen) -> bool | None:
    """Whether a successful outcome still holds, by what the platform shows; None if unknown.

    `user`: whether the platform has reported an account with it. Who waited and is enrolled by
    now is as asked; an address that had no account and is listed as inactive has left since.
    """
    if outcome in _ENROLLED:
        if seen.active is None:
            # The address may be another by now, and its learner still enrolled.
            return False if seen.visible and seen.account else None
        return seen.active
    if outcome is Outcome.ALLOWED:
        if seen.active:
            return True
        return False if seen.active is False and user is False else None
    if seen.active:
        return False
    if outcome is Outcome.WITHDRAWN:
        return None
    if seen.active is None and not (seen.visible and seen.account):
        return None  # an address without an account may wait
    return True


def _in_words(seen: Seen) -> str:
    if seen.active is not None:
        return f"enrolled ({seen.mode})" if seen.active else "not enrolled"
    if not seen.visible:
        return "the site does not tell whose identifier it is"
    if seen.account is None:
        return "the site does not say whether an account has this address"
    if not seen.account:
        return "no account has this address"
    return "not listed"


def _reported(journal: str | os.PathLike[str], site: str) -> Pairs[_Reported]:
    """Read what a journal reports as asked for."""
    # Imported here, so that only jobs with a journal load SQLite.
    from async_enroll.journal import JournalReport

    pairs: Pairs[_Reported] = Pairs()
    with JournalReport(journal) as report:
        report.description.check_site(site)
        for block in report.blocks():
            for detail, identifiers in block.grouped():
                if detail.outcome.ok:
                    pairs.add(block.course_id, identifiers, _Reported.of(detail))
    return pairs


async def verify(
    journal: str | os.PathLike[str],
    reader: Reader,
    accounts: Accounts,
    *,
    site: str,
    concurrency: int,
) -> AsyncGenerator[list[Verified]]:
    """Yield every pair that a job has reported as asked for, and whether it still is.

    Raises:
        ConfigurationError: if the file is no journal, or belongs to another site.
        EnrollError: before the first list, if a listing cannot be read to its end.

    """
    pairs = await to_thread.run_sync(_reported, journal, site)
    looked_up = pairs.look_up(reader, accounts, concurrency=concurrency)
    async with aclosing(looked_up):
        async for found in looked_up:
            yield [
                Verified(
                    pair.identifier,
                    pair.course_id,
                    pair.subject.outcome,
                    holds(pair.subject.outcome, pair.subject.user, pair.seen),
                    _in_words(pair.seen),
                )
                for pair in found
            ]
