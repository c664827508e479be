"""Few calls, none beyond the limits, every pair in exactly one."""

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from async_enroll import BatchLimits
from async_enroll.models import Action, Batch
from async_enroll.planning.batching import (
    Chunker,
    Target,
    halves,
    plan,
    targets,
    why_unsendable,
    why_unsendable_cohort,
    why_unsendable_course,
)
from async_enroll.planning.desired import Assignment, Desired
from async_enroll.platform.json import bulk_body
from benchmarks.rosters import SHAPES, Shape, desired

SMALLEST_BODY = 16 * 1024
limits = st.builds(BatchLimits, st.integers(1, 7), st.integers(1, 20), st.just(SMALLEST_BODY))
assignments = st.builds(
    Assignment,
    st.integers(0, 9).map("course{}".format),
    st.just(Action.ENROLL),
    st.sampled_from([None, "red", "blue"]),
    st.sampled_from([None, True, False]),
) | st.builds(Assignment, st.integers(0, 9).map("course{}".format), st.just(Action.UNENROLL))
of_learners = st.dictionaries(
    st.integers(0, 200).map("learner{}".format),
    st.lists(assignments, min_size=1, unique_by=lambda assignment: assignment.course_id),
    max_size=40,
)


def collected(of_learners: Mapping[str, Iterable[Assignment]]) -> Desired:
    desired = Desired()
    for identifier, some in of_learners.items():
        for assignment in some:
            desired.add(identifier, *astuple(assignment))
    return desired


def enroll(*courses: str) -> list[Assignment]:
    return [Assignment(course_id, Action.ENROLL) for course_id in courses]


def pairs(batches: list[Batch]) -> Counter[tuple[str, Assignment]]:
    """Every pair that the batches carry, with its assignment."""
    return Counter(
        (identifier, Assignment(course_id, batch.action, cohort, batch.auto_enroll))
        for batch in batches
        for course_id, cohort in zip(
            batch.courses, batch.cohorts or [None] * len(batch.courses), strict=True
        )
        for identifier in batch.identifiers
    )


def assert_within(batches: list[Batch], limits: BatchLimits) -> None:
    for batch in batches:
        assert 1 <= len(batch.identifiers) <= limits.identifiers
        assert 1 <= batch.pairs <= limits.pairs
        for flag in (False, True):
            for reason in (None, "\N{SNOWMAN}" * 255, "\x01" * 255):
                body = bulk_body(batch, auto_enroll=flag, email_students=flag, reason=reason)
                assert len(body) <= limits.bytes


@given(of_learners, limits)
def test_a_plan_carries_every_pair_once_within_the_limits(
    of_learners: dict[str, list[Assignment]], limits: BatchLimits
) -> None:
    batches = plan(collected(of_learners), limits)
    assert_within(batches, limits)
    assert pairs(batches) == Counter(
        (identifier, assignment) for identifier, some in of_learners.items() for assignment in some
    )


def simple_plans(desired: Desired, limits: BatchLimits) -> list[int]:
    """How many calls it takes by set of courses, and by course."""
    by_set: dict[Target, list[str]] = {}
    by_course: dict[Target, list[str]] = {}
    for numbers, identifiers in desired.groups().items():
        for target in targets(desired.assignments[number] for number in numbers):
            by_set.setdefault(target, []).extend(identifiers)
            for single in target.parts(len(target.courses)):
                by_course.setdefault(single, []).extend(identifiers)
    calls = []
    for groups in (by_set, by_course):
        chunkers = [(Chunker(target, limits), learners) for target, learners in groups.items()]
        full = sum(len(chunker.feed([who])) for chunker, learners in chunkers for who in learners)
        calls.append(full + sum(len(chunker.flush()) for chunker, _ in chunkers))
    return calls


@given(of_learners, limits)
def test_a_plan_takes_no_more_calls_than_a_simple_one(
    of_learners: dict[str, list[Assignment]], limits: BatchLimits
) -> None:
    desired = collected(of_learners)
    assert len(plan(desired, limits)) <= min(simple_plans(desired, limits))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_three_rosters_take_few_calls(shape: Shape) -> None:
    roster = desired(shape.pairs())
    batches = plan(roster, BatchLimits(200, 500))
    assert sum(batch.pairs for batch in batches) == len(roster)
    most = {"program": 1.15, "long tail": 1.05, "dense": 1.0}
    assert len(batches) <= most[shape.name] * shape.bounds[500]


def test_one_learner_in_many_courses_costs_others_nothing() -> None:
    others = {f"learner{number}": enroll("course0") for number in range(200)}
    alone = enroll(*(f"course{number}" for number in range(400)))
    assert len(plan(collected({**others, "alone": alone}), BatchLimits(200, 500))) == 2


def test_learners_with_the_same_courses_share_calls() -> None:
    courses = enroll(*(f"course{number}" for number in range(5)))
    desired = collected({f"learner{number}": courses for number in range(1000)})
    assert len(plan(desired, BatchLimits(200, 500))) == 10


def test_learners_of_the_same_course_share_calls_where_that_takes_fewer() -> None:
    desired = collected(
        {
            f"learner{number}": enroll(f"course{number % 7}", f"course{number % 11 + 7}")
            for number in range(700)
        }
    )
    assert len(plan(desired, BatchLimits(200, 500))) <= 18


@given(st.integers(1, 30), st.integers(0, 60), limits)
def test_a_chunker_gives_every_pair_once_within_the_limits(
    courses: int, identifiers: int, limits: BatchLimits
) -> None:
    chunker = Chunker(Target(Action.ENROLL, tuple(f"c{n}" for n in range(courses))), limits)
    batches = [batch for n in range(identifiers) for batch in chunker.feed([f"i{n}"])]
    batches += chunker.flush()
    assert_within(batches, limits)
    assert pairs(batches) == Counter(
        (f"i{i}", Assignment(f"c{c}", Action.ENROLL))
        for i in range(identifiers)
        for c in range(courses)
    )
    assert chunker.flush() == []


@pytest.mark.parametrize(
    ("courses", "identifiers", "calls"),
    [
        (3, 1000, 7),  # 166 identifiers a call
        (1, 1000, 5),
        (300, 1, 1),  # one learner in many courses: one call
        (300, 500, 300),  # in parts of 100 courses with 5 identifiers, not 1 a call
        (501, 1, 2),
        (500, 2, 2),
    ],
)
def test_courses_are_sent_in_as_many_parts_as_make_the_fewest_calls(
    courses: int, identifiers: int, calls: int
) -> None:
    target = Target(Action.ENROLL, tuple(f"c{n}" for n in range(courses)))
    chunker = Chunker(target, BatchLimits(200, 500))
    batches = [batch for n in range(identifiers) for batch in chunker.feed([f"i{n}"])]
    assert len(batches) + len(chunker.flush()) == calls


def test_batches_come_as_soon_as_they_are_full() -> None:
    chunker = Chunker(Target(Action.ENROLL, ("c",)), BatchLimits(2, 500))
    assert [len(chunker.feed([f"i{n}"])) for n in range(5)] == [0, 1, 0, 1, 0]


def test_bytes_bound_a_call() -> None:
    limits = BatchLimits(200, 500, SMALLEST_BODY)
    chunker = Chunker(Target(Action.ENROLL, ("c",)), limits)
    batches = [batch for n in range(200) for batch in chunker.feed([f"{n:0>600}"])]
    assert len(batches) > 1
    assert_within(batches, limits)


@given(st.text(min_size=1, max_size=800), st.text(min_size=1), st.text(min_size=1))
def test_a_pair_that_can_be_sent_fits_a_call(identifier: str, course: str, cohort: str) -> None:
    limits = BatchLimits(bytes=SMALLEST_BODY)
    if why_unsendable(identifier) or why_unsendable_course(course, limits):
        return
    if why_unsendable_cohort(cohort, limits):
        return
    chunker = Chunker(Target(Action.ENROLL, (course,), (cohort,)), limits)
    chunker.feed([identifier])
    assert_within(chunker.flush(), limits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b", "holds a comma"),
        ("a b", "holds white space"),
        ("a\xa0b", "holds white space"),
        ("a\0b", "holds a NUL character"),
        ("\ud800", "holds half a character"),
        ("jané", None),
    ],
)
def test_what_cannot_be_sent(text: str, words: str | None) -> None:
    assert why_unsendable(text) == words
    key = f"Org/C1/{text}" if text else ""
    assert why_unsendable_course(key, BatchLimits(bytes=SMALLEST_BODY)) == words


def test_what_no_platform_takes_for_a_course_key_is_not_sent() -> None:
    words = "does not look like course-v1:Org+Number+Run"
    assert why_unsendable_course("course-v1:Org+C1", BatchLimits()) == words
    assert why_unsendable_course("course-v1:Org+C1+2026", BatchLimits()) is None


def test_how_long_what_is_sent_may_be() -> None:
    limits = BatchLimits(bytes=SMALLEST_BODY)
    assert why_unsendable("é" * 255) is None
    assert why_unsendable("é" * 256) == "is longer than 255 characters"
    assert why_unsendable_course("Org/C1/" + "x" * 248, limits) is None
    assert why_unsendable_course("Org/C1/" + "é" * 338, limits) == "is longer than 682 bytes"
    assert why_unsendable_cohort("x" * 682, limits) is None
    assert why_unsendable_cohort("x" * 683, limits) == "is longer than 682 bytes"


def test_a_cohort_may_hold_white_space() -> None:
    assert why_unsendable_cohort("red team", BatchLimits()) is None
    assert why_unsendable_cohort("red,blue", BatchLimits()) == "holds a comma"
    assert why_unsendable_cohort("red\0", BatchLimits()) == "holds a NUL character"


def test_courses_that_cannot_share_a_call() -> None:
    found = targets(
        [
            *enroll("c3"),
            Assignment("c2", Action.ENROLL, "red"),
            *enroll("c1"),
            Assignment("c4", Action.UNENROLL),
        ]
    )
    assert found == [
        Target(Action.ENROLL, ("c1", "c3")),
        Target(Action.ENROLL, ("c2",), ("red",)),
        Target(Action.UNENROLL, ("c4",)),
    ]


@given(st.integers(1, 9), st.integers(1, 9))
def test_halves_hold_the_same_pairs(courses: int, identifiers: int) -> None:
    batch = Batch(
        Action.ENROLL,
        tuple(f"c{n}" for n in range(courses)),
        tuple(f"i{n}" for n in range(identifiers)),
        tuple(f"h{n}" for n in range(courses)),
    )
    if batch.pairs > 1:
        first, second = halves(batch)
        assert pairs([first, second]) == pairs([batch])
        assert max(first.pairs, second.pairs) <= batch.pairs - min(courses, identifiers)
