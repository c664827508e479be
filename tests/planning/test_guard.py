"""How many removals are too many."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import ConfigurationError
from async_enroll.planning.guard import FEWEST, Bound, Removals, checked_bound, exceeds, refusals

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"


def removals(course: str, count: int, enrolled: int, *, desired: bool = True) -> Removals:
    return Removals(course, [f"{course}-{number}" for number in range(count)], enrolled, desired)


@pytest.mark.parametrize(
    ("count", "enrolled", "bound", "refused"),
    [
        (2, 10, 0.2, False),
        (3, 10, 0.2, True),
        (8, 9, 0.2, False),  # fewer than ten
        (1, 9, 0.0, True),  # none is none
        (29, 100, 0.29, False),  # 28.999… in floating point
        (30, 100, 0.29, True),
        (20, 300, 20, False),
        (21, 300, 20, True),
        (1, 300, 0, True),
        (9, 10, 1.0, False),
        (299, 300, None, False),
    ],
)
def test_the_edges(count: int, enrolled: int, bound: Bound, refused: bool) -> None:
    assert exceeds(count, enrolled, bound) is refused
    assert bool(refusals([removals(C1, count, enrolled)], bound, remove=True)) is refused


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 100))
def test_a_share_is_what_it_says(count: int, enrolled: int, percent: int) -> None:
    exact = enrolled >= FEWEST and 100 * count > percent * enrolled
    assert exceeds(count, enrolled, percent / 100) == (exact or (not percent and count > 0))


@pytest.mark.parametrize("bound", [1.0, 10, 3])
def test_emptying_a_course_needs_no_bound_at_all(bound: Bound) -> None:
    planned = [removals(C1, 3, 3), removals(C2, 0, 500)]
    (refusal,) = refusals(planned, bound, remove=True).values()
    why = f"{C1}: would remove 3 of 3 learners and leave none"
    assert str(refusal) == f"{why}; max_removals=None allows it"
    assert refusal.by_option == f"{why}; --max-removals none allows it"
    assert not refusals(planned, None, remove=True)


def test_a_course_without_a_row_to_enroll() -> None:
    planned = [removals(C1, 0, 0, desired=False)]
    (refusal,) = refusals(planned, None, remove=True).values()
    assert str(refusal).endswith(" with the action unenroll, without remove")
    assert refusal.by_option.endswith(" with the action unenroll, without --remove")
    assert not refusals(planned, 0, remove=False)


def test_in_all() -> None:
    planned = [removals(C1, 8, 9), removals(C2, 8, 9)]
    (refusal,) = refusals(planned, 0.5, remove=True).values()
    assert str(refusal) == (
        "all courses: would remove 16 of 18 enrollments, more than 9 (50%); "
        "max_removals=16 allows it"
    )
    assert list(refusals(planned, 10, remove=True)) == [None]
    assert not refusals(planned, 16, remove=True)


def test_an_int_counts_people_not_enrollments() -> None:
    same = ["jane", "john"]
    planned = [Removals(C1, same, 50, True), Removals(C2, same, 50, True)]
    assert not refusals(planned, 2, remove=True)
    assert list(refusals(planned, 1, remove=True)) == [C1, C2]


@pytest.mark.parametrize(("bound", "most"), [(0.2, "20 (20%)"), (0.125, "12 (12.5%)"), (7, "7")])
def test_the_words_name_the_course_both_counts_and_what_to_pass(bound: Bound, most: str) -> None:
    (refusal,) = refusals([removals(C1, 25, 100)], bound, remove=True).values()
    why = f"{C1}: would remove 25 of 100 learners, more than {most}"
    assert str(refusal) == f"{why}; max_removals=25 allows it"
    assert refusal.by_option == f"{why}; --max-removals 25 allows it"


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4),
    st.one_of(st.none(), st.integers(0, 40), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0])),
)
def test_what_is_told_to_allow_it_does(counts: list[tuple[int, int]], bound: Bound) -> None:
    planned = [
        removals(f"c{number}", min(count, enrolled), enrolled)
        for number, (count, enrolled) in enumerate(counts)
    ]
    for refusal in refusals(planned, bound, remove=True).values():
        if "leave none" in refusal.why:
            assert not refusals(planned, None, remove=True)
        else:
            most = int(refusal.by_option.split("--max-removals ")[-1].split()[0])
            assert f"max_removals={most} " in str(refusal)
            assert all(
                "leave none" in left.why for left in refusals(planned, most, remove=True).values()
            )


@pytest.mark.parametrize("bound", [True, "20%", -1, -0.1, 1.5, math.nan, math.inf])
def test_what_is_no_bound(bound: object) -> None:
    with pytest.raises(ConfigurationError, match=r"max_removals is .*; expected a number of peop"):
        checked_bound(bound)
