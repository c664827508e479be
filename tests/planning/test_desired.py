"""Desired pairs: each once, whatever order it comes in."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll.models import Action, RosterEntry, identity_key
from async_enroll.planning.desired import Assignment, Desired
from tests.planning.spellings import identifiers as spellings

C1, C2 = "c1", "c2"
entries = st.lists(
    st.builds(
        RosterEntry,
        st.sampled_from("abcd"),
        st.sampled_from("xyz"),
        st.sampled_from(Action),
        st.sampled_from([None, "red", "blue"]),
    )
)


def collected(entries: list[RosterEntry]) -> Desired:
    desired = Desired()
    for entry in entries:
        desired.add(entry.identifier, entry.course_id, entry.action, entry.cohort)
    return desired


@given(entries)
def test_the_first_wish_for_a_pair_stands(entries: list[RosterEntry]) -> None:
    first: dict[tuple[str, str], RosterEntry] = {}
    desired = Desired()
    for entry in entries:
        stands = first.setdefault((entry.identifier, entry.course_id), entry)
        contradicted = desired.add(entry.identifier, entry.course_id, entry.action, entry.cohort)
        if stands == entry:
            assert contradicted is None
        else:
            assert contradicted == Assignment(stands.course_id, stands.action, stands.cohort)
    assert len(desired) == len(first)
    assert sorted(desired, key=repr) == sorted(first.values(), key=repr)


@given(entries)
def test_learners_of_whom_the_same_is_wanted_are_a_group(entries: list[RosterEntry]) -> None:
    desired = collected(entries)
    of_learner: dict[str, set[Assignment]] = {}
    for identifier, assignment in desired.pairs():
        of_learner.setdefault(identifier, set()).add(assignment)
    groups = desired.groups()
    assert sum(map(len, groups.values())) == len(of_learner)
    for numbers, identifiers in groups.items():
        assert list(numbers) == sorted(set(numbers))
        for identifier in identifiers:
            assert of_learner[identifier] == {desired.assignments[number] for number in numbers}


def test_learners_come_in_the_order_of_their_first_entries() -> None:
    desired = collected(
        [RosterEntry("joe", C1), RosterEntry("jane", C1), RosterEntry("joe", C2)],
    )
    assert [(entry.identifier, entry.course_id) for entry in desired] == [
        ("joe", C1),
        ("joe", C2),
        ("jane", C1),
    ]
    assert list(desired.learners()) == [("joe", (0, 1)), ("jane", (0,))]


def test_a_wish_in_words() -> None:
    assert str(Assignment(C1, Action.UNENROLL)) == "unenroll"
    assert str(Assignment(C1, Action.ENROLL, "red")) == "enroll in cohort 'red'"


@given(st.lists(spellings))
def test_a_learner_is_spelled_as_it_came_first(identifiers: list[str]) -> None:
    first: dict[str, str] = {}
    desired = Desired()
    for identifier in identifiers:
        spelling = desired.spelling(identifier)
        assert spelling == first.setdefault(identity_key(identifier), identifier)
        desired.add(spelling, C1, Action.ENROLL)
    assert [identifier for identifier, _ in desired.learners()] == [*first.values()]
