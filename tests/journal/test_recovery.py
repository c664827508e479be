"""What is left of a batch after an interruption: nothing twice, nothing forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, BatchLimits
from async_enroll.delivery.attempt import Parcel
from async_enroll.delivery.outcomes import pairs
from async_enroll.http.failures import Meaning
from async_enroll.journal.recovery import Sending, left
from async_enroll.models import Batch

LIMITS = BatchLimits()
WHOLE = Batch(Action.ENROLL, ("c1", "c2", "c3"), tuple(f"i{n}" for n in range(6)))
PARCEL = Parcel(WHOLE, email=True, planned=7)
PART = Batch(Action.ENROLL, ("c1", "c2", "c3"), ("i0", "i1"))


@given(
    st.sets(st.sampled_from(list(pairs(WHOLE)))),
    st.lists(
        st.builds(
            Sending,
            st.sampled_from([WHOLE, PART]),
            st.booleans(),
            st.none() | st.sampled_from(Meaning),
        )
    ),
)
def test_what_is_not_settled_is_left_once(
    settled: set[tuple[str, str]], sendings: list[Sending]
) -> None:
    parcels = left(PARCEL, sendings, settled, LIMITS)
    remaining = [pair for parcel in parcels for pair in pairs(parcel.batch)]
    assert sorted(remaining) == sorted(set(pairs(WHOLE)) - settled)
    in_doubt = {
        pair
        for sending in sendings
        if sending.meaning in (None, Meaning.UNKNOWN, Meaning.MASKED)
        for pair in pairs(sending.batch)
    }
    for parcel in parcels:
        assert parcel.email
        assert parcel.planned == 7
        assert all((pair in in_doubt) == parcel.lost for pair in pairs(parcel.batch))


def test_what_was_never_sent_is_sent_as_planned() -> None:
    assert left(PARCEL, [], (), LIMITS) == [PARCEL]


def test_what_was_in_flight_is_lost() -> None:
    (parcel,) = left(PARCEL, [Sending(WHOLE, email=True, meaning=None)], (), LIMITS)
    assert parcel.lost
    assert parcel.attempts == 1


def test_a_refused_call_is_not_lost_and_not_counted() -> None:
    (parcel,) = left(PARCEL, [Sending(WHOLE, email=True, meaning=Meaning.THROTTLED)], (), LIMITS)
    assert parcel == PARCEL


def test_who_may_have_been_mailed_by_a_call_that_was_undone_is_not_mailed_again() -> None:
    sendings = [Sending(PART, email=True, meaning=Meaning.UNDONE)]
    mails = {
        parcel.batch.identifiers: parcel.mails for parcel in left(PARCEL, sendings, (), LIMITS)
    }
    assert mails == {("i0", "i1"): False, ("i2", "i3", "i4", "i5"): True}


@given(st.none() | st.sampled_from(Meaning), st.booleans())
def test_nobody_is_mailed_again_unless_the_call_is_known_not_to_have_mailed(
    meaning: Meaning | None, email: bool
) -> None:
    (parcel,) = left(PARCEL, [Sending(WHOLE, email=email, meaning=meaning)], (), LIMITS)
    unknown = meaning is None or meaning in (Meaning.UNKNOWN, Meaning.MASKED)
    may_have = unknown or (email and meaning is not None and meaning.may_have_mailed)
    assert parcel.mails is not may_have
