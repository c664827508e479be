"""What callers pass in, made ready to send."""

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import (
    Action,
    BatchLimits,
    ConfigurationError,
    Outcome,
    RosterEntry,
    RosterError,
)
from async_enroll.models import Batch, identity_key
from async_enroll.planning.batching import Place
from async_enroll.planning.validation import CrossProduct, RosterIntake, Scope, Work, planned
from async_enroll.results import Block
from tests.planning.spellings import identifiers as spellings

LIMITS = BatchLimits()
texts = st.text("ab, \t\u2003@", max_size=4)


def cross(identifiers: Iterable[str], courses: Iterable[str], **cohorts: str) -> list[Work]:
    intake = CrossProduct(Action.ENROLL, courses, cohorts, LIMITS)
    work = [item for identifier in identifiers for item in intake.feed([identifier])]
    return [*work, *intake.flush()]


def roster(*entries: RosterEntry) -> list[Work]:
    intake = RosterIntake()
    for entry in entries:
        intake.feed(entry)
    return [item for item in planned(intake.desired, LIMITS) if not isinstance(item, Scope)]


def pairs(work: list[Work]) -> list[tuple[str, str]]:
    return sorted(
        pair
        for item in work
        for pair in (
            [(identifier, item.course_id) for identifier in item.identifiers]
            if isinstance(item, Block)
            else [(i, c) for i in item.identifiers for c in item.courses]
            if isinstance(item, Batch)
            else []
        )
    )


@given(st.lists(texts, max_size=6), st.lists(texts, min_size=1, max_size=4))
def test_every_pair_of_a_cross_product_once(identifiers: list[str], courses: list[str]) -> None:
    expected = {(i.strip(), c.strip()) for i in identifiers for c in courses}
    assert pairs(cross(identifiers, courses)) == sorted(expected)


@given(st.lists(st.builds(RosterEntry, texts, texts), max_size=8))
def test_every_pair_of_a_roster_once(entries: list[RosterEntry]) -> None:
    expected = {(entry.identifier.strip(), entry.course_id.strip()) for entry in entries}
    assert pairs(roster(*entries)) == sorted(expected)


@given(st.lists(spellings, max_size=8), st.sets(st.sampled_from("xyz"), min_size=1))
def test_every_learner_of_a_cross_product_as_first_spelled(
    identifiers: list[str], courses: set[str]
) -> None:
    first = {identity_key(one): one for one in reversed(identifiers)}
    assert pairs(cross(identifiers, courses)) == sorted(product(first.values(), courses))


@given(
    st.lists(
        st.builds(
            RosterEntry,
            spellings,
            st.sampled_from("xyz"),
            st.sampled_from(Action),
            st.sampled_from([None, "red"]),
        ).filter(lambda entry: entry.cohort is None or entry.action is Action.ENROLL),
        max_size=5,
    )
)
def test_every_learner_of_a_roster_as_first_spelled_without_contradictions(
    entries: list[RosterEntry],
) -> None:
    first = {identity_key(entry.identifier): entry.identifier for entry in reversed(entries)}
    assignments = {
        (first[identity_key(entry.identifier)], entry.course_id, entry.action, entry.cohort)
        for entry in entries
    }
    desired = sorted({assignment[:2] for assignment in assignments})
    if len(desired) < len(assignments):
        with pytest.raises(RosterError, match="contradicts"):
            roster(*entries)
    else:
        assert pairs(roster(*entries)) == desired


@given(st.lists(texts, max_size=6), st.lists(texts, min_size=1, max_size=4))
def test_nothing_is_sent_that_the_platform_would_split(
    identifiers: list[str], courses: list[str]
) -> None:
    for item in cross(identifiers, courses):
        if isinstance(item, Batch):
            for text in (*item.identifiers, *item.courses):
                assert text.replace(",", " ").split() == [text]


def test_what_cannot_be_sent_is_a_result() -> None:
    long = f"{'j' * 255}@example.org"
    results = cross(["a b", "a\0b", long, "jane"], ["o/c/1", "c,2", "c\0"])
    told = {
        (one.identifier, one.course_id): (one.outcome, one.error, one.attempts)
        for item in results
        if isinstance(item, Block)
        for one in item
    }
    invalid = {
        "a b": "not sent: the identifier holds white space",
        "a\0b": "not sent: the identifier holds a NUL character",
        long: "not sent: the identifier is longer than 255 characters",
    }
    rejected = {
        "c,2": "not sent: the course key holds a comma",
        "c\0": "not sent: the course key holds a NUL character",
    }
    assert told == {
        **{
            (who, key): (Outcome.INVALID_IDENTIFIER, words, 0)
            for who, words in invalid.items()
            for key in ("o/c/1", "c,2", "c\0")
        },
        **{("jane", key): (Outcome.REJECTED, words, 0) for key, words in rejected.items()},
    }
    assert results[-1] == Batch(Action.ENROLL, ("o/c/1",), ("jane",))


def test_courses_with_and_without_a_cohort_do_not_share_a_call() -> None:
    assert cross(["jane"], ["o/c/1", "o/c/2", "o/c/3"], **{"o/c/2": " red "}) == [
        Batch(Action.ENROLL, ("o/c/1", "o/c/3"), ("jane",)),
        Batch(Action.ENROLL, ("o/c/2",), ("jane",), ("red",)),
    ]


def test_the_scope_names_all_places_before_the_first_batch() -> None:
    intake = CrossProduct(Action.ENROLL, ["o/c/2", "o/c/1", "c,3"], {"o/c/1": "red"}, LIMITS)
    assert set(intake.scope.places) == {Place("o/c/2", None), Place("o/c/1", "red")}
    roster_intake = RosterIntake()
    roster_intake.feed(RosterEntry("jane", "o/c/1"))
    roster_intake.feed(RosterEntry("joe", "o/c/1", cohort="red"))
    scope, *_ = planned(roster_intake.desired, LIMITS)
    assert isinstance(scope, Scope)
    assert set(scope.places) == {Place("o/c/1", None), Place("o/c/1", "red")}


def test_a_million_identifiers_pass_through() -> None:
    intake = CrossProduct(Action.ENROLL, ["o/c/1"], None, LIMITS)
    assert sum(len(intake.feed([f"learner{n}"])) for n in range(1000)) == 5


@pytest.mark.parametrize(
    ("courses", "cohorts", "words"),
    [
        ([], None, "no courses"),
        (["o/c/1"], {"o/c/2": "red"}, "'o/c/2', which is not in courses"),
        ([None], None, "expected a string as course key, found NoneType"),
    ],
)
def test_courses_that_are_none(
    courses: list[str], cohorts: dict[str, str] | None, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CrossProduct(Action.ENROLL, courses, cohorts, LIMITS)


def test_an_identifier_that_is_no_string() -> None:
    intake = CrossProduct(Action.ENROLL, ["o/c/1"], None, LIMITS)
    with pytest.raises(ConfigurationError, match="expected a string as identifier, found int"):
        intake.feed([3])  # type: ignore[list-item]  # the mistake itself


def test_entries_share_calls_whatever_their_order() -> None:
    entries = [RosterEntry(f"learner{n % 3}", f"o/c/{n % 2}", cohort=" ") for n in range(6)]
    assert roster(*entries) == [
        Batch(Action.ENROLL, ("o/c/0", "o/c/1"), ("learner0", "learner1", "learner2"))
    ]


def test_the_first_of_repeated_entries_counts() -> None:
    first, again = RosterEntry("jane", "o/c/1"), RosterEntry(" jane", "o/c/1 ", cohort="")
    assert roster(first, again) == [Batch(Action.ENROLL, ("o/c/1",), ("jane",))]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (RosterEntry("jane", "o/c/1", Action.UNENROLL), "entry 2: unenroll contradicts"),
        (RosterEntry("jane", "o/c/1", cohort="red"), "entry 2: enroll in cohort 'red' contradicts"),
        (
            RosterEntry("JANE", "o/c/1", Action.UNENROLL),
            "entry 2: unenroll contradicts .*: 'JANE', also spelled 'jane', in 'o/c/1'",
        ),
        (
            RosterEntry("joe", "o/c/1", Action.UNENROLL, "red"),
            "entry 2: cohort 'red' given with unenroll",
        ),
    ],
)
def test_entries_that_contradict(second: RosterEntry, words: str) -> None:
    with pytest.raises(RosterError, match=words):
        roster(RosterEntry("jane", "o/c/1"), second)


def test_an_entry_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="entry 1 of the roster is a tuple"):
        roster(("jane", "o/c/1"))  # type: ignore[arg-type]  # the mistake itself
