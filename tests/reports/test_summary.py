"""The account in a few numbers, however many pairs."""

from collections import Counter
from collections.abc import Iterable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, EnrollmentResult, EnrollmentState, Outcome
from async_enroll.reports.summary import MOST_FAILURES, MOST_REASONS, Summary, sync_in_words
from async_enroll.results import WITHHELD, Block, ResultDetail
from tests.blocks import block_of

results = st.builds(
    EnrollmentResult,
    st.sampled_from(["jane@example.org", "a", ""]),
    st.sampled_from(["course-v1:Org+C1+2026", "c", ""]),
    st.just(Action.ENROLL),
    st.sampled_from(Outcome),
    error=st.none() | st.text(max_size=3) | st.just("a course"),
    notified=st.none() | st.booleans(),
)


def summary_of(results: Iterable[EnrollmentResult]) -> Summary:
    return Summary.of(map(block_of, results))


def failure(number: int, error: str | None, course_id: str = "c1") -> EnrollmentResult:
    return EnrollmentResult(
        f"learner{number}@example.org", course_id, Action.ENROLL, Outcome.ERROR, error=error
    )


@given(st.lists(st.lists(results, max_size=20), max_size=5))
def test_it_counts_what_came(batches: list[list[EnrollmentResult]]) -> None:
    summary = Summary()
    for batch in batches:
        summary.add(map(block_of, batch))
    everything = [result for batch in batches for result in batch]
    failures = [result for result in everything if not result.outcome.ok]
    assert summary.counts == Counter(result.outcome for result in everything)
    assert summary.courses.keys() == {result.course_id for result in everything}
    for key, counts in summary.courses.items():
        assert counts == Counter(one.outcome for one in everything if one.course_id == key)
    assert summary.pairs == len(everything)
    assert summary.failed == len(failures) == sum(reason.count for reason in summary.reasons)
    assert summary.ok == (not failures)
    assert summary.notification_unknown == sum(
        result.notified is None for result in everything if result.outcome.ok
    )
    kept = [result for reason in summary.reasons for result in reason.failures]
    assert sorted(map(repr, kept)) == sorted(map(repr, failures))


def test_nothing_is_all_as_asked() -> None:
    summary = Summary()
    assert (summary.ok, summary.pairs, summary.counts, summary.reasons) == (True, 0, {}, [])
    assert str(summary) == "0 enrollments in 0 courses: all as requested"


def test_it_is_read_by_people() -> None:
    enrolled = EnrollmentResult("jane", "c1", Action.ENROLL, Outcome.ENROLLED)
    summary = summary_of([failure(1, "because"), enrolled, enrolled])
    assert str(summary).splitlines() == [
        "3 enrollments in 1 course: 1 failed",
        "  enrolled                       2",
        "  failed on the platform         1",
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "the learner of 1 enrollment may not have been notified"),
        (1200, "the learners of 1,200 enrollments may not have been notified"),
    ],
)
def test_who_may_not_have_been_notified(count: int, words: str) -> None:
    enrolled = EnrollmentResult("jane", "c1", Action.ENROLL, Outcome.ENROLLED, notified=None)
    mailed = EnrollmentResult("jane", "c2", Action.ENROLL, Outcome.ENROLLED, notified=True)
    failed = EnrollmentResult("jane", "c3", Action.ENROLL, Outcome.UNCONFIRMED, notified=None)
    summary = summary_of([*[enrolled] * count, mailed, failed])
    assert summary.notification_unknown == count
    assert summary.notification == words
    assert str(summary).splitlines()[-1] == words


def test_where_all_is_known_of_mail_nothing_is_said() -> None:
    summary = summary_of([EnrollmentResult("jane", "c1", Action.ENROLL, Outcome.ENROLLED)])
    assert summary.notification == ""
    assert "notified" not in str(summary)


def test_when_things_became_known() -> None:
    summary = Summary()
    summary.add([block_of(failure(1, None))])
    assert (summary.started, summary.ended) == (None, None)
    for at in (20.0, 10.0, 30.0):
        summary.add([block_of(evolve(failure(1, None), at=at))])
    assert (summary.started, summary.ended) == (10.0, 30.0)


def test_the_same_reason_reads_the_same() -> None:
    summary = summary_of(
        [
            failure(1, "c1: learner1@example.org is not welcome in c11", "c1"),
            failure(2, "c2: learner2@example.org is not welcome in c11", "c2"),
            failure(3, "something else"),
        ]
    )
    common, other = summary.reasons
    assert common.words == "[course]: [identifier] is not welcome in c11"
    assert (common.outcome, common.count) == (Outcome.ERROR, 2)
    assert common.failures[0].error == "c1: learner1@example.org is not welcome in c11"
    assert other.words == "something else"


def test_rare_reasons_stand_together() -> None:
    summary = summary_of(failure(n, f"reason {n}") for n in range(MOST_REASONS + 50))
    assert len(summary.reasons) == MOST_REASONS + 1
    rest = summary.reasons[-1]
    assert (rest.outcome, rest.words, rest.count) == (None, "other reasons", 50)
    assert rest.failures[0].error == f"reason {MOST_REASONS}"


@pytest.mark.parametrize("common_first", [True, False])
def test_failures_are_kept_up_to_a_bound_and_of_every_reason(*, common_first: bool) -> None:
    common = [failure(n, "common") for n in range(MOST_FAILURES + 500)]
    rare = [failure(n, f"rare {n % 300}") for n in range(3000)]
    summary = summary_of(common + rare if common_first else rare + common)
    assert sum(len(reason.failures) for reason in summary.reasons) == MOST_FAILURES
    assert sum(reason.count for reason in summary.reasons) == len(common) + len(rare)
    for reason in summary.reasons:
        assert len(reason.failures) >= min(reason.count, 49)


def test_what_a_sync_has_done() -> None:
    waiting = EnrollmentState(user=False, enrollment=False, allowed=True, auto_enroll=True)
    out = EnrollmentState(user=False, enrollment=False, allowed=False, auto_enroll=False)
    details = {
        "new": ResultDetail(Outcome.ENROLLED, before=out),
        "found": ResultDetail(Outcome.ENROLLED),
        "invited": ResultDetail(Outcome.ALLOWED, before=out, after=waiting),
        "invited before": ResultDetail(Outcome.ALLOWED, before=waiting, after=waiting),
        "in": ResultDetail(Outcome.ALREADY_ENROLLED),
        "gone": ResultDetail(Outcome.UNENROLLED),
        "withdrawn": ResultDetail(Outcome.WITHDRAWN, before=waiting),
        "was out": ResultDetail(Outcome.NOT_ENROLLED),
        "stays": ResultDetail(Outcome.REJECTED, error=f"{WITHHELD}so", attempts=0),
        "refused": ResultDetail(Outcome.REJECTED, error="the course does not exist"),
    }
    summary = Summary.of([Block("c1", Action.ENROLL, list(details), list(details.values()))])
    assert sync_in_words(summary, 2, {"c2": "it broke off"}) == [
        "sync: 3 added, 2 removed, 2 kept, 1 withheld",
        "nobody is removed from c2: it broke off",
    ]
