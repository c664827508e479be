"""From the platform's word on a call to what became of each of its pairs. Pure."""

from __future__ import annotations

from async_enroll.errors import EnrollError
from async_enroll.models import (
    Action,
    Batch,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
)
from async_enroll.verdict import Failure, Meaning
from async_enroll.wire import BulkAnswer, PairAnswer


def answered(batch: Batch, answer: BulkAnswer, *, email_students: bool) -> list[EnrollmentResult]:
    """The results of a call that was answered; UNCONFIRMED where the answer lacks a pair."""
    results: list[EnrollmentResult] = []
    for course_id in batch.courses:
        course = answer.courses.get(course_id)
        told = {pair.identifier: pair for pair in course.results} if course else {}
        for identifier in batch.identifiers:
            pair = told.get(identifier)
            outcome, error = _told(batch.action, pair)
            results.append(
                EnrollmentResult(
                    identifier,
                    course_id,
                    batch.action,
                    outcome,
                    before=pair.before if pair else None,
                    after=pair.after if pair else None,
                    error=error,
                    notified=_MAILED.get(outcome, True) if email_students else False,
                )
            )
    return results


def unanswered(batch: Batch, failure: Failure, *, email_students: bool) -> list[EnrollmentResult]:
    """The results of a call that failed: REJECTED, or UNCONFIRMED where it may be done."""
    meaning, error = failure.meaning, str(failure.error)
    unknown = meaning is Meaning.UNKNOWN
    # Learners are mailed while a call is processed, course by course, and undoing it recalls
    # no mail. Only where the first course is the missing one has surely nobody been mailed.
    maybe_mailed = (
        unknown
        or meaning is Meaning.UNDONE
        or (meaning is Meaning.MISSING and len(batch.courses) > 1)
    )
    if meaning is Meaning.MISSING:
        courses = ", ".join(batch.courses)
        error = f"{error} No such course, or one of these is missing: {courses}"
    return [
        EnrollmentResult(
            identifier,
            course_id,
            batch.action,
            Outcome.UNCONFIRMED if unknown else Outcome.REJECTED,
            error=error,
            notified=None if email_students and maybe_mailed else False,
        )
        for course_id in batch.courses
        for identifier in batch.identifiers
    ]


def unsent(batch: Batch, why: EnrollError) -> list[EnrollmentResult]:
    """The results of a call that is not sent, because of what stopped the job before."""
    return [
        EnrollmentResult(
            identifier,
            course_id,
            batch.action,
            Outcome.REJECTED,
            error=f"not sent: {why}",
            attempts=0,
        )
        for course_id in batch.courses
        for identifier in batch.identifiers
    ]


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


def _told(action: Action, pair: PairAnswer | None) -> tuple[Outcome, str | None]:
    if pair is None:
        return Outcome.UNCONFIRMED, "the platform's answer does not mention this pair"
    if pair.invalid_identifier:
        words = "neither a user of the platform nor a plausible e-mail address"
        return Outcome.INVALID_IDENTIFIER, words
    if pair.error or pair.before is None or pair.after is None:
        return Outcome.ERROR, "the platform failed on this identifier; its log says why"
    outcome = outcome_of(action, pair.before, pair.after)
    if outcome is Outcome.ERROR:
        return outcome, f"the platform answers that the pair is not as asked: {pair.after}"
    return outcome, None


# An invalid identifier is never mailed; unenrolling mails only whoever was enrolled or allowed
# (lms/djangoapps/instructor/enrollment.py). Where the platform failed, it may have mailed before.
_MAILED = {
    Outcome.INVALID_IDENTIFIER: False,
    Outcome.NOT_ENROLLED: False,
    Outcome.ERROR: None,
    Outcome.UNCONFIRMED: None,
}
