"""Outcomes in people's words."""

from async_enroll import Action, EnrollmentResult, Outcome
from async_enroll.reports.words import OUTCOMES, line_of


def test_every_outcome_has_a_name_of_its_own() -> None:
    assert OUTCOMES.keys() == set(Outcome)
    assert len({name for name, _ in OUTCOMES.values()}) == len(Outcome)
    assert not any("_" in name for name, _ in OUTCOMES.values())


def test_a_result_in_a_line() -> None:
    result = EnrollmentResult("joe", "c1", Action.UNENROLL, Outcome.NOT_ENROLLED)
    assert line_of(result) == "joe in c1: was not enrolled"
    result = EnrollmentResult("joe", "c1", Action.ENROLL, Outcome.REJECTED, error="no such course")
    assert line_of(result) == "joe in c1: not done: no such course"
