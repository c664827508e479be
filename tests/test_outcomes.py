"""What became of a pair, from the platform's word on the call."""

from itertools import product

import pytest

from async_enroll import EnrollmentState, Outcome, PlatformError
from async_enroll.models import Action, Batch
from async_enroll.outcomes import answered, outcome_of, unanswered, unsent
from async_enroll.verdict import Failure, Meaning
from async_enroll.wire import BulkAnswer, CourseAnswer, PairAnswer

NOTHING = EnrollmentState(True, False, False, True)
ENROLLED = EnrollmentState(True, True, False, True)
WAITING = EnrollmentState(False, False, True, True)
BATCH = Batch(Action.ENROLL, ("c1", "c2"), ("jane", "joe"))


@pytest.mark.parametrize(
    ("action", "before", "after", "outcome"),
    [
        (Action.ENROLL, NOTHING, ENROLLED, Outcome.ENROLLED),
        (Action.ENROLL, ENROLLED, ENROLLED, Outcome.ALREADY_ENROLLED),
        (Action.ENROLL, WAITING, ENROLLED, Outcome.ENROLLED),
        (Action.ENROLL, NOTHING, WAITING, Outcome.ALLOWED),
        (Action.ENROLL, WAITING, WAITING, Outcome.ALLOWED),
        (Action.ENROLL, ENROLLED, NOTHING, Outcome.ERROR),
        (Action.UNENROLL, ENROLLED, NOTHING, Outcome.UNENROLLED),
        (Action.UNENROLL, NOTHING, NOTHING, Outcome.NOT_ENROLLED),
        (Action.UNENROLL, WAITING, NOTHING, Outcome.WITHDRAWN),
        (Action.UNENROLL, ENROLLED, ENROLLED, Outcome.ERROR),
        (Action.UNENROLL, WAITING, WAITING, Outcome.ERROR),
    ],
)
def test_outcomes(
    action: Action, before: EnrollmentState, after: EnrollmentState, outcome: Outcome
) -> None:
    assert outcome_of(action, before, after) is outcome


def test_ok_means_that_it_is_as_asked() -> None:
    flags = (False, True)
    states = [EnrollmentState(True, *two, True) for two in product(flags, flags)]
    for action, before, after in product(Action, states, states):
        as_asked = (after.enrollment or after.allowed) == (action is Action.ENROLL)
        assert outcome_of(action, before, after).ok == as_asked


def answer_for(*pairs: PairAnswer) -> BulkAnswer:
    return BulkAnswer({"c1": CourseAnswer(list(pairs)), "c2": CourseAnswer(list(pairs))})


def test_every_pair_of_the_batch_has_one_result_in_its_order() -> None:
    answer = answer_for(
        PairAnswer("joe", NOTHING, ENROLLED),
        PairAnswer("stranger", NOTHING, ENROLLED),
        PairAnswer("jane", error=True),
    )
    results = answered(BATCH, answer, email_students=False)
    assert [(result.course_id, result.identifier, result.outcome) for result in results] == [
        ("c1", "jane", Outcome.ERROR),
        ("c1", "joe", Outcome.ENROLLED),
        ("c2", "jane", Outcome.ERROR),
        ("c2", "joe", Outcome.ENROLLED),
    ]


def test_a_pair_that_the_answer_lacks_is_unconfirmed() -> None:
    answer = BulkAnswer({"c1": CourseAnswer([PairAnswer("jane", NOTHING, ENROLLED)])})
    results = answered(BATCH, answer, email_students=True)
    assert [result.outcome for result in results] == [
        Outcome.ENROLLED,
        *[Outcome.UNCONFIRMED] * 3,
    ]
    assert [result.notified for result in results] == [True, None, None, None]
    assert all(result.error for result in results[1:])


@pytest.mark.parametrize(
    ("action", "pair", "notified"),
    [
        (Action.ENROLL, PairAnswer("jane", ENROLLED, ENROLLED), True),
        (Action.ENROLL, PairAnswer("jane", NOTHING, WAITING), True),
        (Action.ENROLL, PairAnswer("jane", invalidIdentifier=True), False),
        (Action.ENROLL, PairAnswer("jane", error=True), None),
        (Action.UNENROLL, PairAnswer("jane", ENROLLED, NOTHING), True),
        (Action.UNENROLL, PairAnswer("jane", WAITING, NOTHING), True),
        (Action.UNENROLL, PairAnswer("jane", NOTHING, NOTHING), False),
    ],
)
def test_who_was_notified(action: Action, pair: PairAnswer, notified: bool | None) -> None:
    batch = Batch(action, ("c1",), ("jane",))
    (asked,) = answered(batch, answer_for(pair), email_students=True)
    (not_asked,) = answered(batch, answer_for(pair), email_students=False)
    assert (asked.notified, not_asked.notified) == (notified, False)


@pytest.mark.parametrize(
    ("meaning", "courses", "outcome", "notified"),
    [
        (Meaning.REFUSED, ("c1", "c2"), Outcome.REJECTED, False),
        (Meaning.TOO_LARGE, ("c1", "c2"), Outcome.REJECTED, False),
        (Meaning.THROTTLED, ("c1", "c2"), Outcome.REJECTED, False),
        (Meaning.FATAL, ("c1", "c2"), Outcome.REJECTED, False),
        (Meaning.MISSING, ("c1",), Outcome.REJECTED, False),
        (Meaning.MISSING, ("c1", "c2"), Outcome.REJECTED, None),
        (Meaning.UNDONE, ("c1",), Outcome.REJECTED, None),
        (Meaning.UNKNOWN, ("c1",), Outcome.UNCONFIRMED, None),
    ],
)
def test_a_call_that_failed(
    meaning: Meaning, courses: tuple[str, ...], outcome: Outcome, notified: bool | None
) -> None:
    batch = Batch(Action.ENROLL, courses, ("jane", "joe"))
    failure = Failure(meaning, PlatformError("its words", status=0))
    results = unanswered(batch, failure, email_students=True)
    assert len(results) == batch.pairs
    assert {(result.outcome, result.notified) for result in results} == {(outcome, notified)}
    assert all("its words" in (result.error or "") for result in results)
    assert not any(
        result.notified is None for result in unanswered(batch, failure, email_students=False)
    )


def test_a_call_that_was_not_sent() -> None:
    results = unsent(BATCH, PlatformError("stopped", status=0))
    assert {(result.outcome, result.attempts) for result in results} == {(Outcome.REJECTED, 0)}
    assert results[0].error == "not sent: stopped"
