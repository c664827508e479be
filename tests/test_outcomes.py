"""What became of a pair, from the platform's word on the call."""

from collections.abc import Iterable
from itertools import chain, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import EnrollmentResult, EnrollmentState, Outcome, PlatformError, RosterEntry
from async_enroll.fates import Block
from async_enroll.models import Action, Batch
from async_enroll.outcomes import (
    answered,
    found,
    given_up,
    outcome_of,
    rejected,
    unconfirmed,
    wanted,
)
from async_enroll.parcel import Parcel
from async_enroll.wire import BulkAnswer, CourseAnswer, PairAnswer, StateAnswer, state

NOTHING = StateAnswer(True, False, False, True)
ENROLLED = StateAnswer(True, True, False, True)
WAITING = StateAnswer(False, False, True, True)
GONE = StateAnswer(False, False, False, False)
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
    action: Action, before: StateAnswer, after: StateAnswer, outcome: Outcome
) -> None:
    assert outcome_of(action, state(before), state(after)) is outcome


def test_ok_means_that_it_is_as_asked() -> None:
    flags = (False, True)
    states = [EnrollmentState(True, *two, True) for two in product(flags, flags)]
    for action, before, after in product(Action, states, states):
        as_asked = (after.enrollment or after.allowed) == (action is Action.ENROLL)
        assert outcome_of(action, before, after).ok == as_asked


def answer_for(*answers: PairAnswer) -> BulkAnswer:
    return BulkAnswer({"c1": CourseAnswer(list(answers)), "c2": CourseAnswer(list(answers))})


def results_of(blocks: Iterable[Block]) -> list[EnrollmentResult]:
    return list(chain.from_iterable(blocks))


def told(parcel: Parcel, *answers: PairAnswer) -> list[EnrollmentResult]:
    return results_of(answered(parcel, answer_for(*answers)).blocks)


def sent(batch: Batch, **history: Any) -> Parcel:
    return Parcel(batch, **{"email": True, "attempts": 1, **history})


def test_every_pair_of_the_batch_has_one_result_in_its_order() -> None:
    answer = answer_for(
        PairAnswer("joe", NOTHING, ENROLLED),
        PairAnswer("stranger", NOTHING, ENROLLED),
        PairAnswer("jane", error=True, success=False),
    )
    told = answered(sent(BATCH), answer)
    results = results_of(told.blocks)
    assert [(result.course_id, result.identifier, result.outcome) for result in results] == [
        ("c1", "jane", Outcome.ERROR),
        ("c1", "joe", Outcome.ENROLLED),
        ("c2", "jane", Outcome.ERROR),
        ("c2", "joe", Outcome.ENROLLED),
    ]
    assert not told.doubtful
    assert not told.erroneous


def test_the_pairs_that_an_answer_lacks() -> None:
    answer = BulkAnswer({"c1": CourseAnswer([PairAnswer("jane", NOTHING, ENROLLED)])})
    told = answered(sent(BATCH), answer)
    results = results_of(told.blocks)
    assert [result.outcome for result in results] == [Outcome.ENROLLED]
    assert told.doubtful == [("joe", "c1"), ("jane", "c2"), ("joe", "c2")]


def test_a_pair_of_which_an_answer_says_nothing_is_lacking() -> None:
    for says_nothing in (PairAnswer("jane"), PairAnswer("jane", NOTHING)):
        parcel = sent(Batch(Action.ENROLL, ("c1",), ("jane",)))
        assert answered(parcel, answer_for(says_nothing)) == ([], [("jane", "c1")], [])


words = st.sampled_from(
    [
        {},
        {"before": NOTHING, "after": ENROLLED},
        {"before": ENROLLED, "after": ENROLLED},
        {"invalid_identifier": True},
        {"error": True, "success": False},
        {"error": True, "success": False, "error_type": "SMTPException"},
    ]
)


@given(st.lists(st.none() | words, min_size=1, max_size=8))
def test_a_pair_fares_the_same_whoever_stands_beside_it(said: list[dict[str, Any] | None]) -> None:
    batch = Batch(Action.ENROLL, ("c1",), tuple(f"i{number}" for number in range(len(said))))
    answers = [
        PairAnswer(who, **told)
        for who, told in zip(batch.identifiers, said, strict=True)
        if told is not None
    ]
    alone = [
        answered(sent(Batch(Action.ENROLL, ("c1",), (who,))), answer_for(*answers))
        for who in batch.identifiers
    ]
    told = answered(sent(batch), answer_for(*answers))
    assert results_of(told.blocks) == [one for each in alone for one in results_of(each.blocks)]
    assert told.doubtful == [pair for each in alone for pair in each.doubtful]


def test_equal_states_are_one_object() -> None:
    answer = answer_for(PairAnswer("jane", NOTHING, NOTHING), PairAnswer("joe", NOTHING, ENROLLED))
    results = results_of(answered(sent(BATCH), answer).blocks)
    assert len({id(result.before) for result in results} | {id(results[0].after)}) == 1


@pytest.mark.parametrize(
    ("action", "pair", "notified"),
    [
        (Action.ENROLL, PairAnswer("jane", ENROLLED, ENROLLED), True),
        (Action.ENROLL, PairAnswer("jane", NOTHING, WAITING), True),
        (Action.ENROLL, PairAnswer("jane", invalid_identifier=True), False),
        (Action.ENROLL, PairAnswer("jane", error=True, success=False), None),
        (Action.ENROLL, PairAnswer("jane", GONE, GONE), False),
        (Action.UNENROLL, PairAnswer("jane", ENROLLED, NOTHING), True),
        (Action.UNENROLL, PairAnswer("jane", WAITING, NOTHING), True),
        (Action.UNENROLL, PairAnswer("jane", NOTHING, NOTHING), False),
    ],
)
def test_who_was_notified(action: Action, pair: PairAnswer, notified: bool | None) -> None:
    batch = Batch(action, ("c1",), ("jane",))
    (mailed,) = told(sent(batch), pair)
    (unmailed,) = told(sent(batch, email=False), pair)
    (quiet,) = told(sent(batch, quiet=True), pair)
    assert (mailed.notified, unmailed.notified) == (notified, False)
    assert quiet.notified is (False if notified is False else None)


@pytest.mark.parametrize(
    ("action", "before", "after", "outcome", "known"),
    [
        (Action.ENROLL, ENROLLED, ENROLLED, Outcome.ENROLLED, False),
        (Action.ENROLL, WAITING, WAITING, Outcome.ALLOWED, False),
        (Action.ENROLL, NOTHING, ENROLLED, Outcome.ENROLLED, True),
        (Action.UNENROLL, NOTHING, NOTHING, Outcome.UNENROLLED, False),
        (Action.UNENROLL, WAITING, NOTHING, Outcome.WITHDRAWN, True),
        (Action.UNENROLL, ENROLLED, NOTHING, Outcome.UNENROLLED, True),
    ],
)
def test_after_a_lost_call_nobody_knows_what_was_before_it(
    action: Action, before: StateAnswer, after: StateAnswer, outcome: Outcome, known: bool
) -> None:
    parcel = sent(Batch(action, ("c1",), ("jane",)), lost=True, attempts=2)
    (result,) = told(parcel, PairAnswer("jane", before, after))
    assert (result.outcome, result.attempts) == (outcome, 2)
    assert (result.before == state(before)) == known
    assert known or result.before is None


def test_an_unenrollment_that_was_lost_may_have_mailed() -> None:
    parcel = sent(Batch(Action.UNENROLL, ("c1",), ("jane",)), lost=True)
    (done,) = told(parcel, PairAnswer("jane", NOTHING, NOTHING))
    (undone,) = told(parcel, PairAnswer("jane", ENROLLED, NOTHING))
    assert (done.notified, undone.notified) == (None, None)


def test_an_error_before_2026_does_not_tell_what_was_done() -> None:
    answer = BulkAnswer(
        {
            "c1": CourseAnswer(
                [PairAnswer("jane", error=True), PairAnswer("joe", NOTHING, WAITING)]
            ),
            "c2": CourseAnswer([PairAnswer("jane", NOTHING, ENROLLED), PairAnswer("joe", NOTHING)]),
        }
    )
    told = answered(sent(BATCH), answer)
    outcomes = [(one.identifier, one.outcome) for one in results_of(told.blocks)]
    assert outcomes == [("joe", Outcome.ALLOWED), ("jane", Outcome.ENROLLED)]
    assert told.doubtful == [("joe", "c2")]
    assert told.erroneous == [("jane", "c1")]


def test_an_answer_that_ends_in_an_error_may_have_been_undone_as_a_whole() -> None:
    fine, error = PairAnswer("jane", NOTHING, ENROLLED), PairAnswer("joe", error=True)
    answer = BulkAnswer({"c1": CourseAnswer([fine, error]), "c2": CourseAnswer([fine, error])})
    told = answered(sent(BATCH), answer)
    assert told.blocks == []
    assert told.doubtful == [("jane", "c1"), ("jane", "c2")]
    assert told.erroneous == [("joe", "c1"), ("joe", "c2")]


def test_since_2026_an_error_is_told_in_the_platforms_words() -> None:
    error = PairAnswer(
        "jane", error=True, success=False, error_type="ValueError", error_message="no"
    )
    (result,) = told(sent(Batch(Action.ENROLL, ("c1",), ("jane",))), error)
    assert (result.outcome, result.notified) == (Outcome.ERROR, None)
    assert result.error == "the platform failed on this identifier (ValueError: no)"


def test_a_retired_address_has_words_of_its_own() -> None:
    (result,) = told(
        sent(Batch(Action.ENROLL, ("c1",), ("gone@example.org",))),
        PairAnswer("gone@example.org", GONE, GONE),
    )
    assert (result.outcome, result.notified) == (Outcome.ERROR, False)
    assert "retired" in (result.error or "")


def test_what_is_found_in_the_listing() -> None:
    (result,) = results_of(found(sent(BATCH, lost=True), [("jane", "c1")], auto_enroll=True))
    assert (result.outcome, result.before, result.notified) == (Outcome.ENROLLED, None, None)
    assert result.after == state(ENROLLED)
    assert result.attempts > 1
    gone = sent(Batch(Action.UNENROLL, ("c1",), ("jane",)), email=False)
    (result,) = results_of(found(gone, [("jane", "c1")], auto_enroll=True))
    assert (result.outcome, result.notified) == (Outcome.UNENROLLED, False)


def test_calls_that_come_to_nothing() -> None:
    error = PlatformError("its words", status=400)
    blocks = [
        *rejected(sent(BATCH), error, notified=False),
        *unconfirmed(sent(BATCH), error),
        *given_up(sent(BATCH, attempts=0), error),
        *given_up(sent(BATCH, quiet=True), error),
        *given_up(sent(BATCH, lost=True), error),
    ]
    results = results_of(blocks)
    assert [(one.outcome, one.notified, one.error) for one in results[::4]] == [
        (Outcome.REJECTED, False, "its words"),
        (Outcome.UNCONFIRMED, None, "its words"),
        (Outcome.REJECTED, False, "not sent: its words"),
        (Outcome.REJECTED, None, "not sent: its words"),
        (Outcome.UNCONFIRMED, None, "its words"),
    ]
    assert [one.attempts for one in results[::4]] == [1, 1, 0, 1, 1]


def test_what_a_batch_wants_of_some_of_its_pairs() -> None:
    batch = Batch(Action.ENROLL, ("c1", "c2"), ("jane", "joe"), ("red", "blue"))
    assert list(wanted(batch, [("joe", "c2"), ("jane", "c1")])) == [
        RosterEntry("joe", "c2", Action.ENROLL, "blue"),
        RosterEntry("jane", "c1", Action.ENROLL, "red"),
    ]
