"""Whom a call has changed, and in which calls they are mailed."""

import math
from collections import Counter
from itertools import chain, product

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from async_enroll import Action, BatchLimits, EnrollmentState, Outcome
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.mailing import Changed, Mailing, divided, mails_at_once, unmailed
from async_enroll.delivery.outcomes import failed, outcome_of, pairs, unconfirmed
from async_enroll.models import Batch
from async_enroll.planning.batching import plan
from async_enroll.planning.desired import Desired
from async_enroll.planning.plan import Plan
from async_enroll.results import Block, ResultDetail, unnotified

OUT = EnrollmentState(user=True, enrollment=False, allowed=False, auto_enroll=False)
IN = EnrollmentState(user=True, enrollment=True, allowed=False, auto_enroll=False)
WAITS = EnrollmentState(user=False, enrollment=False, allowed=True, auto_enroll=True)
ENROLLED = ResultDetail(Outcome.ENROLLED, OUT, IN)
ALLOWED = ResultDetail(Outcome.ALLOWED, OUT, WAITS)
LIMITS = BatchLimits(identifiers=4, pairs=8)


def block_of(details: list[ResultDetail]) -> Block:
    return Block("c1", Action.ENROLL, [f"i{number}" for number in range(len(details))], details)


flags = st.booleans()
states = st.none() | st.builds(EnrollmentState, flags, flags, flags, flags)


@given(st.lists(st.tuples(states, states), max_size=12))
def test_whoever_was_neither_enrolled_nor_waiting_is_to_be_mailed(
    answers: list[tuple[EnrollmentState | None, EnrollmentState]],
) -> None:
    details = [
        ResultDetail(
            outcome_of(Action.ENROLL, before or OUT, after) if after else Outcome.UNCONFIRMED,
            before,
            after,
        )
        for before, after in answers
    ]
    to_mail, final = divided([block_of(details)])
    changed = list(chain.from_iterable(to_mail))
    told = list(chain.from_iterable(final))
    assert Counter(one.identifier for one in [*changed, *told]) == Counter(
        f"i{number}" for number in range(len(details))
    )
    for one in changed:
        assert one.outcome.ok
        assert one.before
        assert not one.before.enrollment
        assert not one.before.allowed
    for block in final:
        for detail in block.details:
            if detail.before and (detail.before.enrollment or detail.before.allowed):
                assert not unnotified(detail)
            else:
                # Of whom it is not known that they were in before, it is told.
                newly = detail.outcome in (Outcome.ENROLLED, Outcome.ALLOWED)
                assert unnotified(detail) == newly


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[Batch, set[tuple[str, str]]]]:
    """Planned batches, and the pairs of each that were changed."""
    wanted = draw(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=40))
    desired = Desired()
    for who, course in sorted(wanted):
        desired.add(f"i{who}", f"course-v1:Org+C{course}+2026", Action.ENROLL)
    return [
        (batch, draw(st.sets(st.sampled_from(list(pairs(batch))))))
        for batch in plan(desired, LIMITS)
    ]


@settings(deadline=None)
@given(changes())
def test_each_is_mailed_once_in_no_more_calls_than_the_plan_says(
    batches: list[tuple[Batch, set[tuple[str, str]]]],
) -> None:
    mailing = Mailing(LIMITS)
    desired = Desired()
    for number, (batch, changed) in enumerate(batches, 1):
        for identifier, course_id in pairs(batch):
            desired.add(identifier, course_id, Action.ENROLL)
        blocks = [Block(key, Action.ENROLL, [who], [ENROLLED]) for who, key in sorted(changed)]
        mailing.add(number, blocks, 0.0, changed_at=0.0)
    attempts = mailing.rest()
    found = Counter(chain.from_iterable(pairs(attempt.batch) for attempt in attempts))
    assert found == Counter(chain.from_iterable(changed for _, changed in batches))
    most = sum(min(len(batch.courses), len(batch.identifiers)) for batch, _ in batches)
    assert len(attempts) <= most
    assert most == Plan.of(desired, LIMITS, source="test").mail_calls
    for attempt in attempts:
        assert attempt.mails
        assert attempt.batch.pairs <= LIMITS.pairs
        assert len(attempt.batch.identifiers) <= LIMITS.identifiers
        assert attempt.changed_in == tuple(
            number
            for number, (_, changed) in enumerate(batches, 1)
            if changed & set(pairs(attempt.batch))
        )
    assert mailing.rest() == []
    by_number: Counter[int] = Counter()
    for attempt in attempts:
        for number, blocks in mailing.settle(unconfirmed(attempt, "lost")):
            by_number[number] += sum(map(len, blocks))
            assert {one.outcome for one in chain.from_iterable(blocks)} == {Outcome.ENROLLED}
    assert by_number == Counter(
        {number: len(changed) for number, (_, changed) in enumerate(batches, 1) if changed}
    )
    assert mailing.unsettled() == []


def test_they_are_mailed_once_they_are_many_or_have_waited() -> None:
    mailing = Mailing(LIMITS)
    mailing.add(1, [block_of([ENROLLED] * 3)], 100.0, changed_at=100.0)
    assert mailing.due(101.0) == []
    assert len(mailing.due(120.0)) == 1
    assert mailing.due(200.0) == []
    mailing.add(2, [block_of([ENROLLED] * 64)], 300.0, changed_at=-math.inf)
    (first, *_) = mailing.due(300.0)
    assert first.changed_at == -math.inf


def test_what_became_of_the_mail() -> None:
    mailing = Mailing(LIMITS)
    mailing.add(7, [block_of([ENROLLED, ALLOWED])], 0.0, changed_at=0.0)
    (attempt,) = mailing.rest()
    (both,) = mailing.settle(failed(attempt, Outcome.REJECTED, "no such course"))
    assert both[0] == 7
    details = both[1][0].details
    assert [(one.outcome, one.notified, one.error) for one in details] == [
        (Outcome.ENROLLED, False, None),
        (Outcome.ALLOWED, False, None),
    ]
    assert all(map(unnotified, details))


def test_results_keep_their_cohort() -> None:
    red, blue = (replace(block_of([ENROLLED]), cohort=cohort) for cohort in ("red", "blue"))
    blue = replace(blue, identifiers=["i9"])
    assert [block.cohort for blocks in divided([red, blue]) for block in blocks] == ["red", "blue"]
    in_doubt = replace(red, details=[ENROLLED._replace(before=None)])
    (told,) = divided([in_doubt])[1]
    assert (told.cohort, told.details[0].mail_missed) == ("red", True)
    assert [block.cohort for block in unmailed(Changed(1, [red], [blue])).final] == ["blue", "red"]
    mailing = Mailing(LIMITS)
    mailing.add(7, [red, blue], 0.0, changed_at=0.0)
    (attempt,) = mailing.rest()
    ((_, blocks),) = mailing.settle(failed(attempt, Outcome.REJECTED, "no such course"))
    assert [(block.cohort, *block.identifiers) for block in blocks] == [
        ("red", "i0"),
        ("blue", "i9"),
    ]
    mailing.add(7, [red], 0.0, changed_at=0.0)
    assert [block.cohort for block in mailing.unsettled()] == ["red"]


def test_whom_the_platform_no_longer_has_as_asked_is_told_as_such() -> None:
    mailing = Mailing(LIMITS)
    mailing.add(7, [block_of([ENROLLED])], 0.0, changed_at=0.0)
    gone = ResultDetail(Outcome.ERROR, OUT, OUT, "retired", False, 1)
    ((_, (block,)),) = mailing.settle([block_of([gone])])
    assert block.details == [gone._replace(attempts=2)]


def test_who_has_left() -> None:
    mailing = Mailing(BatchLimits())
    states = dict(zip(("i0", "i1", "i2", "i3", "i4"), [ENROLLED] * 3 + [ALLOWED] * 2, strict=True))
    mailing.add(
        1, [Block("c1", Action.ENROLL, list(states), list(states.values()))], 0, changed_at=0
    )
    batch = Batch(Action.ENROLL, ("c1",), tuple(states))
    listed = {("i0", "c1"): True, ("i1", "c1"): False, ("i3", "c1"): False}
    assert mailing.unlisted(batch, listed) == [("i2", "c1")]
    # No listing shows who waits: only who has registered and left is known to have left.
    assert mailing.left(batch, listed) == [("i1", "c1"), ("i2", "c1"), ("i3", "c1")]


def test_what_the_first_call_mails() -> None:
    for mail, action in product((False, True, "changed"), Action):
        batch = Batch(action, ("c1",), ("i1",))
        at_once = mails_at_once(mail, batch)  # type: ignore[arg-type]  # one of the three
        assert at_once == (mail is True or (mail == "changed" and action is Action.UNENROLL))
        assert Attempt(batch, at_once).mails == at_once
