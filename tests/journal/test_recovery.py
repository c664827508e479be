"""What is left of a batch after an interruption: nothing twice, nothing forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, BatchLimits, Outcome
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import pairs
from async_enroll.http.failures import FailureKind
from async_enroll.journal.recovery import Sending, changed_earlier, left
from async_enroll.models import Batch
from async_enroll.results import Block, ResultDetail

LIMITS = BatchLimits()
WHOLE = Batch(Action.ENROLL, ("c1", "c2", "c3"), tuple(f"i{n}" for n in range(6)))
ATTEMPT = Attempt(WHOLE, email=True, planned=7)
PART = Batch(Action.ENROLL, ("c1", "c2", "c3"), ("i0", "i1"))


@given(
    st.sets(st.sampled_from(list(pairs(WHOLE)))),
    st.lists(
        st.builds(
            Sending,
            st.sampled_from([WHOLE, PART]),
            st.booleans(),
            st.none() | st.sampled_from(FailureKind),
        )
    ),
)
def test_what_is_not_settled_is_left_once(
    settled: set[tuple[str, str]], sendings: list[Sending]
) -> None:
    attempts = left(ATTEMPT, sendings, settled, LIMITS)
    remaining = [pair for attempt in attempts for pair in pairs(attempt.batch)]
    assert sorted(remaining) == sorted(set(pairs(WHOLE)) - settled)
    in_doubt = {
        pair
        for sending in sendings
        if sending.kind in (None, FailureKind.UNKNOWN, FailureKind.MASKED)
        for pair in pairs(sending.batch)
    }
    for attempt in attempts:
        assert attempt.email
        assert attempt.planned == 7
        assert all((pair in in_doubt) == attempt.lost for pair in pairs(attempt.batch))


def test_what_was_never_sent_is_sent_as_planned() -> None:
    assert left(ATTEMPT, [], (), LIMITS) == [ATTEMPT]


def test_what_was_in_flight_is_lost() -> None:
    (attempt,) = left(ATTEMPT, [Sending(WHOLE, email=True, kind=None)], (), LIMITS)
    assert attempt.lost
    assert attempt.attempts == 1


def test_a_refused_call_is_not_lost_and_not_counted() -> None:
    (attempt,) = left(ATTEMPT, [Sending(WHOLE, email=True, kind=FailureKind.THROTTLED)], (), LIMITS)
    assert attempt == ATTEMPT


def test_who_may_have_been_mailed_by_a_call_that_was_undone_is_not_mailed_again() -> None:
    sendings = [Sending(PART, email=True, kind=FailureKind.UNDONE)]
    mails = {
        attempt.batch.identifiers: attempt.mails for attempt in left(ATTEMPT, sendings, (), LIMITS)
    }
    assert mails == {("i0", "i1"): False, ("i2", "i3", "i4", "i5"): True}


@given(st.none() | st.sampled_from(FailureKind), st.booleans())
def test_nobody_is_mailed_again_unless_the_call_is_known_not_to_have_mailed(
    kind: FailureKind | None, email: bool
) -> None:
    (attempt,) = left(ATTEMPT, [Sending(WHOLE, email=email, kind=kind)], (), LIMITS)
    unknown = kind is None or kind in (FailureKind.UNKNOWN, FailureKind.MASKED)
    may_have = unknown or (email and kind is not None and kind.may_have_mailed)
    assert attempt.mails is not may_have


def test_changed_pairs_keep_their_cohort() -> None:
    enrolled = ResultDetail(Outcome.ENROLLED)
    block = Block.alike("c1", Action.ENROLL, ["i1", "i2", "i3"], enrolled, cohort="red")
    mailed = Sending(Batch(Action.ENROLL, ("c1",), ("i2",)), True, None)
    changed = changed_earlier(1, [block], [mailed], {("i3", "c1")})
    (to_mail,), (final,) = changed.to_mail, changed.final
    assert (to_mail.identifiers, to_mail.cohort) == (["i1"], "red")
    assert (final.identifiers, final.cohort, final.details[0].notified) == (["i2"], "red", None)
