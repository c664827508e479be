"""Calls that fail as a whole: few calls find the pairs at fault, and the others are delivered."""

from collections import Counter
from collections.abc import Callable
from itertools import product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll import EnrollmentReport, Outcome
from async_enroll.models import EmailStudents
from async_enroll.platform.so2_listing import REPORTING_LIST
from tests.delivery.test_what_is_told import (
    FAILED,
    IN_PLACE,
    LOST,
    REFUSED,
    TURNED_AWAY,
    WELL,
    Script,
    client_of,
)
from tests.servers import answer
from tests.waiting import run

COURSES = [f"course-v1:Org+C{number}+2026" for number in range(10)]
TOO_LARGE = answer("413 Too Large", b"<title>Too Large</title>", kind="text/html")
Fails = Callable[[set[str], set[str]], bytes | None]
"""What a site says to a call of these identifiers in these courses; None: that all is done."""


class Failing(Script):
    """Fails as `fails` says, and otherwise does as it is asked."""

    def __init__(self, fails: Fails) -> None:
        super().__init__([])
        self._fails = fails

    def says(self, head: bytes, body: bytes) -> bytes:
        before = len(self.sent)
        well = super().says(head, body)
        if len(self.sent) == before:  # a preflight, or a listing
            return well
        call = self.sent[-1]
        said = self._fails(set(call["identifiers"].split(",")), set(call["courses"].split(",")))
        return well if said is None else said


async def enroll(script: Script, who: list[str], courses: list[str]) -> EnrollmentReport:
    async with client_of(script) as client:
        return await client.bulk_enroll(who, courses, email_students=True)


def failures(report: EnrollmentReport) -> set[tuple[str, str]]:
    return {(one.identifier, one.course_id) for one in report.failures}


@pytest.mark.parametrize("place", range(10))
async def test_a_learner_on_whom_the_platform_fails_in_one_course_is_in_all_others(
    place: int,
) -> None:
    bad = COURSES[place]
    script = Failing(lambda _, courses: FAILED if bad in courses else None)
    report = await enroll(script, ["jane"], COURSES)
    assert failures(report) == {("jane", bad)}
    sent = Counter(call["courses"] for call in script.sent)
    # Three times in a row, and before that perhaps as the first of two halves.
    assert sent.pop(bad) in (3, 4)
    assert set(sent.values()) == {1}
    assert len(sent) <= 1 + 2 * 4 - 1


async def test_a_learner_on_whom_the_platform_fails_in_both_halves_is_in_no_course() -> None:
    script = Failing(lambda _, courses: FAILED if {COURSES[0], COURSES[9]} & courses else None)
    report = await enroll(script, ["jane"], COURSES)
    assert report.counts == {Outcome.REJECTED: 10}
    assert len(script.sent) == 3
    assert all("fails on this learner" in (one.error or "") for one in report)


async def test_a_half_that_is_lost_does_not_tell_of_the_other() -> None:
    """The learner fails in the first course alone; the call for the second half was lost."""
    lost = iter([LOST])

    def fails(_: set[str], courses: set[str]) -> bytes | None:
        if COURSES[0] in courses:
            return FAILED
        return next(lost, None) if COURSES[9] in courses else None

    report = await enroll(Failing(fails), ["jane"], COURSES)
    assert failures(report) == {("jane", COURSES[0])}
    assert report.counts == {Outcome.ENROLLED: 9, Outcome.REJECTED: 1}


async def test_other_learners_do_not_fail_with_one_who_fails_in_all_courses() -> None:
    script = Failing(lambda who, _: FAILED if "poison" in who else None)
    report = await enroll(script, ["jane", "poison", "joe"], COURSES)
    assert failures(report) == {("poison", course_id) for course_id in COURSES}


@pytest.mark.parametrize("said", [TOO_LARGE, TURNED_AWAY], ids=["too large", "page"])
async def test_a_call_that_is_too_large_for_a_site_is_bisected_down_to_single_courses(
    said: bytes,
) -> None:
    """Also where both halves are: that does not tell of the learner."""
    script = Failing(lambda _, courses: said if len(courses) > 1 else None)
    report = await enroll(script, ["jane"], COURSES)
    assert report.counts == {Outcome.ENROLLED: 10}
    assert {one.notified for one in report} == {True}


async def test_a_page_does_not_tell_of_a_learner_who_fails_in_other_courses() -> None:
    bad = {COURSES[0]: FAILED, COURSES[1]: FAILED, COURSES[2]: TURNED_AWAY}
    script = Failing(
        lambda _, courses: next((bad[one] for one in COURSES[:3] if one in courses), None)
    )
    report = await enroll(script, ["jane"], COURSES[:4])
    assert failures(report) == {("jane", course_id) for course_id in COURSES[:3]}


@pytest.mark.parametrize(
    ("said", "calls", "outcome", "notified"),
    [
        (REFUSED, 1, Outcome.REJECTED, False),
        (TOO_LARGE, 3, Outcome.REJECTED, False),
        (TURNED_AWAY, 3, Outcome.REJECTED, False),
        (FAILED, 3, Outcome.REJECTED, None),
        (IN_PLACE, 3, Outcome.UNCONFIRMED, None),
    ],
    ids=["refused", "too large", "page", "failed", "page in place"],
)
async def test_a_pair_alone_is_rejected_once_it_has_failed_three_times(
    said: bytes, calls: int, outcome: Outcome, notified: bool | None
) -> None:
    script = Failing(lambda _, __: said)
    report = await enroll(script, ["jane"], COURSES[:1])
    assert [(one.outcome, one.notified, one.attempts) for one in report] == [
        (outcome, notified, calls)
    ]
    mailing = [call["email_students"] for call in script.sent]
    assert mailing == [True] + [notified is False] * (calls - 1)


@pytest.mark.parametrize(
    "said", [TOO_LARGE, TURNED_AWAY, FAILED], ids=["too large", "page", "failed"]
)
async def test_a_failure_that_passes_in_time_rejects_nobody(said: bytes) -> None:
    left = iter([said, said])
    report = await enroll(Failing(lambda _, __: next(left, None)), ["jane"], COURSES[:1])
    assert [(one.outcome, one.attempts) for one in report] == [(Outcome.ENROLLED, 3)]


async def test_a_pair_of_which_no_answer_tells_is_looked_up_in_the_end() -> None:
    names = {"username": "jane", "email": "jane@example.org", "course_id": COURSES[0]}
    record = {**names, "is_active": True, "mode": "audit", "created": "2026-03-09 20:15"}

    class Listed(Failing):
        def says(self, head: bytes, body: bytes) -> bytes:
            if REPORTING_LIST.encode() in head:
                return answer("200 OK", msgspec.json.encode([record]))
            return super().says(head, body)

    script = Listed(lambda _, __: WELL)
    report = await enroll(script, ["jane"], COURSES[:1])
    assert [(one.outcome, one.notified) for one in report] == [(Outcome.ENROLLED, None)]
    assert [call["email_students"] for call in script.sent] == [True] + [False] * 9


async def test_one_learner_among_many_is_found_in_few_calls() -> None:
    script = Failing(lambda who, _: FAILED if "poison" in who else None)
    who = [f"new{number}@example.org" for number in range(63)]
    who.insert(41, "poison")
    report = await enroll(script, who, COURSES[:1])
    assert failures(report) == {("poison", COURSES[0])}
    assert len(script.sent) == 1 + 2 * 6 + 2


ANSWERS = {
    "failed": FAILED,
    "refused": REFUSED,
    "missing": answer("404 Not Found", b'{"detail": "Not found."}'),
    "page": TURNED_AWAY,
    "page in place": IN_PLACE,
    "page in place, done": IN_PLACE,
    "too large": TOO_LARGE,
    "lost": LOST,
    "lost, done": LOST,
}
MAY_MAIL = {"failed", "missing", "page in place", "lost"}
"""Failures after which nothing is done, though mail may have gone out."""


class Hostile(Script):
    """Fails on some pairs for good, and on some calls once; `mails` counts what it has mailed."""

    def __init__(self, bad: dict[tuple[str, str], str], strays: list[str | None]) -> None:
        super().__init__([])
        self._bad, self._strays = bad, iter(strays)
        self.enrolled: set[tuple[str, str]] = set()
        self.mails: Counter[tuple[str, str]] = Counter()

    def says(self, head: bytes, body: bytes) -> bytes:
        before = len(self.sent)
        well = super().says(head, body)
        if len(self.sent) == before:
            return well
        call = self.sent[-1]
        pairs = list(product(call["identifiers"].split(","), call["courses"].split(",")))
        bad = next((self._bad[pair] for pair in pairs if pair in self._bad), None)
        kind = next(self._strays, None) or bad or "done"
        if kind.endswith("done"):
            well = self._states(pairs)
            self.enrolled.update(pairs)
        if call["email_students"]:
            self.mails.update(pairs if kind.endswith("done") else pairs[: kind in MAY_MAIL])
        return ANSWERS.get(kind, well)

    def _states(self, pairs: list[tuple[str, str]]) -> bytes:
        courses: dict[str, dict[str, list[object]]] = {}
        for who, course_id in pairs:
            after = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": False}
            before = {**after, "enrollment": (who, course_id) in self.enrolled}
            result = {"identifier": who, "before": before, "after": after}
            courses.setdefault(course_id, {"results": []})["results"].append(result)
        return answer("200 OK", msgspec.json.encode({"courses": courses}))


LEARNERS = ["jane", "joe", "jim"]
some_pairs = st.tuples(st.sampled_from(LEARNERS), st.sampled_from(COURSES[:3]))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(some_pairs, st.sampled_from(list(ANSWERS)), max_size=4),
    st.lists(st.none() | st.sampled_from(list(ANSWERS)), max_size=6),
    st.sampled_from([False, True, "changed"]),
)
def test_whatever_fails_a_report_is_right_and_nobody_is_mailed_twice(
    bad: dict[tuple[str, str], str], strays: list[str | None], mail: EmailStudents
) -> None:
    async def work() -> EnrollmentReport:
        async with client_of(script, settle=0.002) as client:
            return await client.bulk_enroll(LEARNERS, COURSES[:3], email_students=mail)

    script = Hostile(bad, strays)
    told = {(one.identifier, one.course_id): one for one in run(work())}
    assert set(told) == set(product(LEARNERS, COURSES[:3]))
    assert max(script.mails.values(), default=0) <= 1
    for pair, one in told.items():
        if one.outcome is not Outcome.UNCONFIRMED:
            assert one.outcome.ok == (pair in script.enrolled), one
        if one.notified is not None:
            assert one.notified == script.mails[pair], one
