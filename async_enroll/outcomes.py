"""From the platform's word on a call to what became of each of its pairs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from async_enroll.errors import EnrollError
from async_enroll.models import (
    Action,
    Batch,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
)
from async_enroll.parcel import Parcel, Phase
from async_enroll.wanted import Wanted
from async_enroll.wire import BulkAnswer, PairAnswer, state

Pair = tuple[str, str]
"""An identifier and a course key."""


def pairs(batch: Batch) -> Iterator[Pair]:
    """The pairs of a batch, course by course."""
    return ((identifier, key) for key in batch.courses for identifier in batch.identifiers)


def wanted(batch: Batch, some: Iterable[Pair]) -> Wanted:
    """What a batch wants of some of its pairs."""
    cohorts = batch.cohorts or [None] * len(batch.courses)
    cohort_in = dict(zip(batch.courses, cohorts, strict=True))
    found = Wanted()
    for identifier, key in some:
        found.add(identifier, key, batch.action, cohort_in[key])
    return found


def outcome_of(action: Action, before: EnrollmentState, after: EnrollmentState) -> Outcome:
    """What became of a pair that stood at `before` and stands at `after`.

    ERROR where the platform answers without a flag, and yet not with what was asked.
    """
    if action is Action.ENROLL:
        if after.enrollment:
            return Outcome.ALREADY_ENROLLED if before.enrollment else Outcome.ENROLLED
        return Outcome.ALLOWED if after.allowed else Outcome.ERROR
    if after.enrollment or after.allowed:
        return Outcome.ERROR
    if before.enrollment:
        return Outcome.UNENROLLED
    return Outcome.WITHDRAWN if before.allowed else Outcome.NOT_ENROLLED


def answered(parcel: Parcel, answer: BulkAnswer) -> tuple[list[EnrollmentResult], list[Pair]]:
    """The results of a call that was answered, and the pairs that the answer lacks."""
    results: list[EnrollmentResult] = []
    lacking: list[Pair] = []
    batch, action = parcel.batch, parcel.batch.action
    fates: dict[object, _Fate] = {}  # few: most pairs of a call fare alike
    for course_id in batch.courses:
        course = answer.courses.get(course_id)
        told = {pair.identifier: pair for pair in course.results} if course else {}
        for identifier in batch.identifiers:
            pair = told.get(identifier, _UNMENTIONED)
            key = pair.before, pair.after, pair.invalid_identifier, pair.error
            fate = fates.get(key)
            if fate is None:
                if pair.after is None and not (pair.invalid_identifier or pair.error):
                    lacking.append((identifier, course_id))
                    continue
                fate = fates[key] = _fate(parcel, pair)
            results.append(EnrollmentResult(identifier, course_id, action, *fate))
    return results, lacking


def asked(results: Iterable[EnrollmentResult]) -> tuple[list[EnrollmentResult], list[Pair]]:
    """Of the results of asking: those that stand, and the pairs that a lost call never did.

    Their `before` tells: None, they were as wanted when asked about, and the lost call may
    have mailed them; otherwise it has never done them.
    """
    standing: list[EnrollmentResult] = []
    never_done: list[Pair] = []
    for result in results:
        if result.outcome.ok and result.before is not None:
            never_done.append((result.identifier, result.course_id))
        else:
            standing.append(result)
    return standing, never_done


def found(parcel: Parcel, some: Iterable[Pair], *, auto_enroll: bool) -> list[EnrollmentResult]:
    """The results of pairs that the listing shows to be as a lost call was to leave them."""
    enrolled = parcel.batch.action is Action.ENROLL
    after = EnrollmentState(user=True, enrollment=enrolled, allowed=False, auto_enroll=auto_enroll)
    return [
        EnrollmentResult(
            identifier,
            course_id,
            parcel.batch.action,
            Outcome.ENROLLED if enrolled else Outcome.UNENROLLED,
            after=after,
            notified=None if parcel.email else False,
            # The look at the listing counts as one: it took more than the sending.
            attempts=parcel.attempts + 1,
        )
        for identifier, course_id in some
    ]


def rejected(
    parcel: Parcel, error: EnrollError | str, *, notified: bool | None
) -> list[EnrollmentResult]:
    """The results of a call that the platform refuses; nothing was done."""
    return _failed(parcel, Outcome.REJECTED, str(error), notified=notified)


def unconfirmed(parcel: Parcel, error: EnrollError | str) -> list[EnrollmentResult]:
    """The results of a call of which nobody can tell what became of it."""
    notified = None if parcel.email else False
    return _failed(parcel, Outcome.UNCONFIRMED, str(error), notified=notified)


def given_up(parcel: Parcel, why: EnrollError) -> list[EnrollmentResult]:
    """The results of a call that is not sent, or not again, because the job has been stopped."""
    if parcel.lost:
        return unconfirmed(parcel, why)
    return rejected(parcel, f"not sent: {why}", notified=parcel.notified_so_far)


def _failed(
    parcel: Parcel, outcome: Outcome, error: str, *, notified: bool | None
) -> list[EnrollmentResult]:
    return [
        EnrollmentResult(
            identifier,
            course_id,
            parcel.batch.action,
            outcome,
            error=error,
            notified=notified,
            attempts=parcel.attempts,
        )
        for identifier, course_id in pairs(parcel.batch)
    ]


_Fate = tuple[Outcome, EnrollmentState | None, EnrollmentState | None, str | None, bool | None, int]
"""Outcome, before, after, error, notified, attempts: what results say but for who and where."""

_UNMENTIONED = PairAnswer("")


def _fate(parcel: Parcel, pair: PairAnswer) -> _Fate:
    action = parcel.batch.action
    before = state(pair.before) if pair.before else None
    after = state(pair.after) if pair.after else None
    outcome, error = _told(action, pair, before, after)
    mailed = _MAILED.get(outcome, True)
    if parcel.lost and outcome in _DONE_BEFORE:
        # The lost call may have done it, or someone long before: nobody knows.
        mailed = mailed if action is Action.ENROLL else None
        outcome, before = _DONE_BEFORE[outcome], None
    elif parcel.lost and before is not None and before.allowed and outcome is not Outcome.WITHDRAWN:
        before = None
    if mailed and parcel.phase is not Phase.SEND:
        mailed = None
    return outcome, before, after, error, mailed if parcel.email else False, parcel.attempts


def _told(
    action: Action,
    pair: PairAnswer,
    before: EnrollmentState | None,
    after: EnrollmentState | None,
) -> tuple[Outcome, str | None]:
    if pair.invalid_identifier:
        words = "neither a user of the platform nor a plausible e-mail address"
        return Outcome.INVALID_IDENTIFIER, words
    if pair.error or before is None or after is None:
        return Outcome.ERROR, "the platform failed on this identifier; its log says why"
    outcome = outcome_of(action, before, after)
    if outcome is Outcome.ERROR:
        return outcome, f"the platform answers that the pair is not as asked: {after}"
    return outcome, None


_DONE_BEFORE = {
    Outcome.ALREADY_ENROLLED: Outcome.ENROLLED,
    Outcome.NOT_ENROLLED: Outcome.UNENROLLED,
}

# An invalid identifier is never mailed; unenrolling mails only whoever was enrolled or allowed
# (lms/djangoapps/instructor/enrollment.py). Where the platform failed, it may have mailed before.
_MAILED: dict[Outcome, bool | None] = {
    Outcome.INVALID_IDENTIFIER: False,
    Outcome.NOT_ENROLLED: False,
    Outcome.ERROR: None,
}
