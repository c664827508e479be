"""What became of a pair, from the platform's word on the call."""

from collections.abc import Iterable, Sequence
from itertools import chain, product
from random import Random
from typing import Any
from unicodedata import normalize
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import (
    EnrollError,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
    PlatformError,
    RosterEntry,
)
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import (
    answered,
    desired,
    found,
    given_up,
    outcome_of,
    rejected,
    unconfirmed,
)
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Action, Batch, identity_key
from async_enroll.platform.json import BulkAnswer, CourseAnswer, PairAnswer, StateAnswer, state
from async_enroll.results import Block
from tests.planning.spellings import identifiers as spellings

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


def told(attempt: Attempt, *answers: PairAnswer) -> list[EnrollmentResult]:
    return results_of(answered(attempt, answer_for(*answers)).blocks)


FAILURE = Failure(FailureKind.UNDONE, EnrollError("no"))


def sent(batch: Batch, **history: Any) -> Attempt:
    return Attempt(batch, **{"email": True, "attempts": 1, **history})


def test_every_pair_of_the_batch_has_one_result_in_its_order() -> None:
    answer = answer_for(
        PairAnswer("joe", NOTHING, ENROLLED),
        PairAnswer("stranger", NOTHING, ENROLLED),
        PairAnswer("jane", error=True, success=False),
    )
    told = answered(sent(BATCH, failures=[FAILURE] * 2), answer)
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
        attempt = sent(Batch(Action.ENROLL, ("c1",), ("jane",)))
        assert answered(attempt, answer_for(says_nothing)) == ([], [("jane", "c1")], [], [])


def told_of(sent_: Sequence[str], told_: Sequence[str]) -> dict[str, str]:
    """Whose word is taken for whom: what the answer says of each carries its own number."""
    cohorts = [StateAnswer(True, True, False, True, str(number)) for number in range(len(told_))]
    pairs = zip(told_, cohorts, strict=True)
    answer = answer_for(*(PairAnswer(who, NOTHING, after) for who, after in pairs))
    blocks, lacking, *_ = answered(sent(Batch(Action.ENROLL, ("c1",), tuple(sent_))), answer)
    found = {one.identifier: told_[int(one.after.cohort)] for one in results_of(blocks)}  # type: ignore[union-attr, arg-type]  # as said above
    assert {*found, *(who for who, _ in lacking)} == set(sent_)
    return found


@pytest.mark.parametrize(
    ("sent_", "told_", "found"),
    [
        (["Jane@X.org", "joe"], ["joe", "jane@x.org"], {"Jane@X.org": "jane@x.org", "joe": "joe"}),
        (["jane", "joe"], ["JOE", "jane"], {"jane": "jane", "joe": "JOE"}),
        (["Jos\u00e9", "joe"], ["joe", "JOSE\u0301"], {"Jos\u00e9": "JOSE\u0301", "joe": "joe"}),
        (["jane", "joe"], ["jan", "joe"], {"jane": "jan", "joe": "joe"}),
        (["jane", "joe"], ["1", "2"], {"jane": "1", "joe": "2"}),
        (["Jane", "zoë"], ["zoe", "jane"], {"Jane": "jane"}),
        (["jane", "joe"], ["joe", "stranger"], {"joe": "joe"}),
        (["jane", "joe", "jim"], ["jane", "jane", "jim"], {"jane": "jane", "jim": "jim"}),
        (["jane", "joe"], ["jane", "stranger", "jo"], {"jane": "jane"}),
        (["jane", "joe"], ["jo"], {}),
        (["Jane", "joe"], ["JANE", "jane", "joe"], {"joe": "joe"}),
        (["straße", "strasse"], ["strasse"], {"strasse": "strasse"}),
    ],
    ids=[
        "lower case", "upper case", "normal form", "by position", "all by position",
        "case, but not position", "another's place", "twice", "too many", "too few",
        "two for one", "never folded",
    ],
)  # fmt: skip
def test_whom_an_answer_means(sent_: list[str], told_: list[str], found: dict[str, str]) -> None:
    assert told_of(sent_, told_) == found


@given(st.lists(spellings, min_size=1, unique_by=identity_key), st.randoms())
def test_nobody_is_taken_for_another(identifiers: list[str], chance: Random) -> None:
    answered_ = [normalize("NFD", chance.choice([one, one.lower()])) for one in identifiers]
    chance.shuffle(answered_)
    kept = answered_[: chance.randint(0, len(answered_))]
    found = told_of(identifiers, kept)
    assert all(identity_key(who) == identity_key(other) for who, other in found.items())
    assert len(found) == len(kept)


@pytest.mark.parametrize(
    ("sent_", "told_", "found"),
    [
        (["v1:O+C1", "v1:O+C2"], ["v1:o+c2", "v1:o+c1"], {"v1:O+C1": 1, "v1:O+C2": 0}),
        (["v1:O+C1", "v1:O+C2"], ["v1:O%2BC1", "v1:O C2"], {"v1:O+C1": 0, "v1:O+C2": 1}),
        (["C1", "c1"], ["c1"], {"c1": 0}),
        (["C1", "c1"], ["C1", "other"], {"C1": 0, "c1": 1}),
        (["c1"], ["other"], {"c1": 0}),
        (["c1", "c2"], ["other", "stranger"], {}),
        (["c1", "c2"], ["c1", "other", "stranger"], {"c1": 0}),
    ],
    ids=["case", "quoted", "one of two", "the last", "the only", "two left", "too many"],
)
def test_which_course_an_answer_means(
    sent_: list[str], told_: list[str], found: dict[str, int]
) -> None:
    answer = BulkAnswer(
        {
            key: CourseAnswer(
                [PairAnswer("jane", NOTHING, StateAnswer(True, True, False, True, key))]
            )
            for key in told_
        }
    )
    blocks, lacking, *_ = answered(sent(Batch(Action.ENROLL, tuple(sent_), ("jane",))), answer)
    assert {one.course_id: told_.index(one.after.cohort) for one in results_of(blocks)} == found  # type: ignore[union-attr, arg-type]  # as said above
    assert {key for _, key in lacking} == set(sent_) - set(found)


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
    # More than are sent: nobody is told by position.
    answers += [PairAnswer(f"stranger{number}", NOTHING, ENROLLED) for number in range(9)]
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
        (Action.UNENROLL, PairAnswer("jane", WAITING, GONE), True),
        (Action.UNENROLL, PairAnswer("jane", NOTHING, NOTHING), False),
    ],
)
def test_who_was_notified(action: Action, pair: PairAnswer, notified: bool | None) -> None:
    batch = Batch(action, ("c1",), ("jane",))
    (mailed,) = told(sent(batch, failures=[FAILURE] * 2), pair)
    (unmailed,) = told(sent(batch, email=False, failures=[FAILURE] * 2), pair)
    (after_undone,) = told(sent(batch, undone=True, failures=[FAILURE] * 2), pair)
    assert (mailed.notified, unmailed.notified) == (notified, False)
    assert after_undone.notified is (False if notified is False else None)


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
    attempt = sent(Batch(action, ("c1",), ("jane",)), lost=True, attempts=2)
    (result,) = told(attempt, PairAnswer("jane", before, after))
    assert (result.outcome, result.attempts) == (outcome, 2)
    assert (result.before == state(before)) == known
    assert known or result.before is None


def test_an_unenrollment_that_was_lost_may_have_mailed() -> None:
    attempt = sent(Batch(Action.UNENROLL, ("c1",), ("jane",)), lost=True)
    (done,) = told(attempt, PairAnswer("jane", NOTHING, NOTHING))
    (undone,) = told(attempt, PairAnswer("jane", ENROLLED, NOTHING))
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


def test_since_2026_an_error_is_told_in_the_platforms_words_when_it_comes_again() -> None:
    error = PairAnswer(
        "jane", error=True, success=False, error_type="ValueError", error_message="no"
    )
    batch = Batch(Action.ENROLL, ("c1",), ("jane",))
    assert answered(sent(batch), answer_for(error)).undone == [("jane", "c1")]
    (result,) = told(sent(batch, failures=[FAILURE] * 2), error)
    assert (result.outcome, result.notified) == (Outcome.ERROR, None)
    assert result.error == "the platform failed on this identifier (ValueError: no)"


def test_the_platforms_words_on_a_learner_are_not_kept_beyond_the_result() -> None:
    class Words(str):
        """Text that can be watched."""

        __slots__ = ("__weakref__",)

    words = Words("jane@example.org bounced")
    kept = ref(words)
    error = PairAnswer("jane", error=True, success=False, error_message=words)
    batch = Batch(Action.ENROLL, ("c1",), ("jane",))
    (result,) = told(sent(batch, failures=[FAILURE] * 2), error)
    assert result.error is not None
    assert words in result.error
    del words, error, result
    assert kept() is None


def test_a_retired_address_has_words_of_its_own() -> None:
    (result,) = told(
        sent(Batch(Action.ENROLL, ("c1",), ("gone@example.org",))),
        PairAnswer("gone@example.org", GONE, GONE),
    )
    assert (result.outcome, result.notified) == (Outcome.ERROR, False)
    assert "retired" in (result.error or "")


def test_what_is_found_in_the_listing() -> None:
    (result,) = results_of(found(sent(BATCH, lost=True), [("jane", "c1")]))
    assert (result.outcome, result.before, result.notified) == (Outcome.ENROLLED, None, None)
    assert result.after == EnrollmentState(True, True, False, auto_enroll=False)
    assert result.attempts > 1
    gone = sent(Batch(Action.UNENROLL, ("c1",), ("jane",)), email=False)
    (result,) = results_of(found(gone, [("jane", "c1")]))
    assert (result.outcome, result.notified) == (Outcome.UNENROLLED, False)


def test_calls_that_come_to_nothing() -> None:
    error = PlatformError("its words", status=400)
    blocks = [
        *rejected(sent(BATCH), error),
        *rejected(sent(BATCH, undone=True), error),
        *rejected(sent(BATCH, lost=True), error),
        *unconfirmed(sent(BATCH, lost=True), error),
        *given_up(sent(BATCH, attempts=0), error),
        *given_up(sent(BATCH, undone=True), error),
        *given_up(sent(BATCH, lost=True), error),
    ]
    results = results_of(blocks)
    assert [(one.outcome, one.notified, one.error) for one in results[::4]] == [
        (Outcome.REJECTED, False, "its words"),
        (Outcome.REJECTED, None, "its words"),
        (Outcome.UNCONFIRMED, None, "its words"),
        (Outcome.UNCONFIRMED, None, "its words"),
        (Outcome.REJECTED, False, "not sent: its words"),
        (Outcome.REJECTED, None, "not sent: its words"),
        (Outcome.UNCONFIRMED, None, "its words"),
    ]
    assert [one.attempts for one in results[::4]] == [1, 1, 1, 1, 0, 1, 1]


def test_what_a_batch_wants_of_some_of_its_pairs() -> None:
    batch = Batch(Action.ENROLL, ("c1", "c2"), ("jane", "joe"), ("red", "blue"))
    assert list(desired(batch, [("joe", "c2"), ("jane", "c1")])) == [
        RosterEntry("joe", "c2", Action.ENROLL, "blue"),
        RosterEntry("jane", "c1", Action.ENROLL, "red"),
    ]
