"""What takes a result back, or why nothing does."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from async_enroll import Action, EnrollmentState, Outcome
from async_enroll.planning.inverse import (
    Inverse,
    Left,
    LeftAlone,
    Seen,
    inverse_of,
    planned_inverse,
)
from async_enroll.results import ResultDetail

ENROLL, UNENROLL = Action.ENROLL, Action.UNENROLL
Kept = LeftAlone


def state(flags: str, cohort: str | None = None) -> EnrollmentState:
    """A state by the initials of its flags: user, enrollment, allowed, auto_enroll ("i" for it)."""
    return EnrollmentState("u" in flags, "e" in flags, "a" in flags, "i" in flags, cohort)


@pytest.mark.parametrize(
    ("action", "before", "after", "inverse"),
    [
        (ENROLL, state("u"), state("ue"), Inverse(Left.ENROLLED, UNENROLL)),
        (
            ENROLL,
            state("u", "red"),
            state("ue", "blue"),
            Inverse(Left.ENROLLED, UNENROLL, keeps_cohort=True),
        ),
        (ENROLL, state("ue"), state("ue"), Kept.NOT_CHANGED),
        (ENROLL, state("ue", "red"), state("ue", "red"), Kept.NOT_CHANGED),
        (
            ENROLL,
            state("ue", "red"),
            state("ue", "blue"),
            Inverse(Left.ENROLLED, ENROLL, "red"),
        ),
        (ENROLL, state("ue"), state("ue", "blue"), Kept.FIRST_COHORT),
        (ENROLL, state(""), state("ai"), Inverse(Left.NOT_REGISTERED, UNENROLL, None, True)),
        (ENROLL, state("u"), state("uai"), Inverse(Left.WAITING, UNENROLL, None, True)),
        (ENROLL, state("ai"), state("ai"), Kept.NOT_CHANGED),
        (
            ENROLL,
            state("a"),
            state("ai"),
            Inverse(Left.NOT_REGISTERED, ENROLL, auto_enroll=False),
        ),
        (ENROLL, state("ua"), state("uai"), Inverse(Left.WAITING, ENROLL, auto_enroll=False)),
        # It may be activated by now, which nothing would show.
        (ENROLL, state("uai"), state("ua"), Kept.WAITED),
        (ENROLL, state("ai"), state("ai", "blue"), Kept.UNKNOWN),
        (ENROLL, state(""), state(""), Kept.NOT_CHANGED),
        (UNENROLL, state("ue"), state("u"), Inverse(Left.UNENROLLED, ENROLL)),
        (UNENROLL, state("ueai"), state("u"), Inverse(Left.UNENROLLED, ENROLL)),
        (UNENROLL, state("u"), state("u"), Kept.NOT_CHANGED),
        (
            UNENROLL,
            state("ai"),
            state(""),
            Inverse(Left.NOT_REGISTERED, ENROLL, auto_enroll=True),
        ),
        (
            UNENROLL,
            state("a"),
            state(""),
            Inverse(Left.NOT_REGISTERED, ENROLL, auto_enroll=False),
        ),
        (UNENROLL, state("uai"), state("u"), Kept.WAITED),
        (ENROLL, None, state("ue"), Kept.UNKNOWN),
        (ENROLL, None, None, Kept.UNKNOWN),
    ],
)
def test_inverses(
    action: Action,
    before: EnrollmentState | None,
    after: EnrollmentState | None,
    inverse: Inverse | LeftAlone,
) -> None:
    assert inverse_of(action, ResultDetail(Outcome.ENROLLED, before, after)) == inverse


@pytest.mark.parametrize("outcome", [Outcome.INVALID_IDENTIFIER, Outcome.REJECTED])
def test_what_was_refused_was_not_changed(outcome: Outcome) -> None:
    assert inverse_of(ENROLL, ResultDetail(outcome)) is Kept.NOT_CHANGED


@pytest.mark.parametrize("outcome", [Outcome.UNCONFIRMED, Outcome.ERROR])
def test_what_may_have_been_done_is_unknown(outcome: Outcome) -> None:
    assert inverse_of(ENROLL, ResultDetail(outcome)) is Kept.UNKNOWN


@pytest.mark.parametrize(
    ("left", "seen", "why"),
    [
        (Left.ENROLLED, Seen(True, True, "audit"), None),
        (Left.ENROLLED, Seen(True, True, "honor"), None),
        (Left.ENROLLED, Seen(True, True, "verified"), Kept.CHANGED_SINCE),
        (Left.ENROLLED, Seen(True, False, "audit"), Kept.CHANGED_SINCE),
        (Left.ENROLLED, Seen(True), Kept.UNSEEN),
        (Left.ENROLLED, Seen(True, True, "audit", named_twice=True), Kept.NAMED_TWICE),
        (Left.UNENROLLED, Seen(True, False, "audit"), None),
        (Left.UNENROLLED, Seen(True, False, "verified"), Kept.MODE),
        (Left.UNENROLLED, Seen(True, True, "audit"), Kept.CHANGED_SINCE),
        (Left.UNENROLLED, Seen(True), Kept.UNSEEN),
        (Left.NOT_REGISTERED, Seen(True, account=False), None),
        (Left.NOT_REGISTERED, Seen(False), Kept.UNSEEN),
        (Left.NOT_REGISTERED, Seen(True, account=True), Kept.CHANGED_SINCE),
        (Left.NOT_REGISTERED, Seen(True, False, "audit", True), Kept.CHANGED_SINCE),
        (Left.WAITING, Seen(True), None),
        (Left.WAITING, Seen(True, False, "audit"), None),
        (Left.WAITING, Seen(True, True, "audit"), Kept.CHANGED_SINCE),
        (Left.WAITING, Seen(False), Kept.UNSEEN),
        (Left.EITHER, Seen(True, account=False), None),
        (Left.EITHER, Seen(True, account=None), Kept.UNSEEN),
        (Left.EITHER, Seen(True, account=True), Kept.UNSEEN),
        (Left.EITHER, Seen(True, False, "audit", True), Kept.UNSEEN),
        (Left.EITHER, Seen(True, True, "audit", True), Kept.CHANGED_SINCE),
    ],
)
def test_who_has_changed_since_is_left_alone(left: Left, seen: Seen, why: LeftAlone | None) -> None:
    assert Inverse(left, UNENROLL).obstacle(seen) is why


def test_who_pays_is_moved_back_to_an_earlier_cohort() -> None:
    """Enrolling who is enrolled keeps the mode."""
    assert Inverse(Left.ENROLLED, ENROLL, "red").obstacle(Seen(True, True, "verified")) is None


@given(
    st.sampled_from(["jane", "jane@example.org"]),
    st.sampled_from([ENROLL, UNENROLL]),
    st.sampled_from(["", "u", "ue", "ua", "uai", "a", "ai", "ueai"]),
    st.sampled_from(["", "u", "ue", "ua", "uai", "a", "ai"]),
    st.sampled_from([None, "red"]),
    st.builds(
        Seen,
        st.booleans(),
        st.sampled_from([None, True, False]),
        st.sampled_from(["audit", "verified"]),
        st.sampled_from([None, True, False]),
    ),
)
def test_a_plan_that_goes_on_undoes_nothing_that_was_left_alone_before(
    identifier: str, action: Action, before: str, after: str, cohort: str | None, seen: Seen
) -> None:
    """What a plan tells of a pair is less than a result does, and never leads to more."""
    result = ResultDetail(Outcome.ENROLLED, state(before, cohort), state(after, cohort and "blue"))
    inverse = inverse_of(action, result)
    assume(not isinstance(inverse, LeftAlone))
    assert isinstance(inverse, Inverse)
    had_account = inverse.left is not Left.NOT_REGISTERED
    assume(had_account or "@" in identifier)
    assume(seen.account is not False or not had_account)  # accounts stay
    planned = planned_inverse(identifier, inverse.action, inverse.cohort, inverse.auto_enroll)
    if inverse.obstacle(seen):
        assert planned.obstacle(seen)
    elif inverse.left in (Left.ENROLLED, Left.UNENROLLED):
        assert planned.obstacle(seen) is None
    elif planned.obstacle(seen):
        assert planned.obstacle(seen) is LeftAlone.UNSEEN
        assert (inverse.left, "@" in identifier) == (Left.WAITING, True)
