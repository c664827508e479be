"""The framework's checks of a bulk call, in its own words."""

from typing import Any

import pytest

from async_enroll.models import Action
from async_enroll.sandbox import RELEASES
from async_enroll.sandbox.domain.bulk_call import BulkCall
from async_enroll.sandbox.http.answers import Crash, Refusal
from async_enroll.sandbox.views.bulk_call import read_bulk_call
from tests.sandbox.raw import C1, C2

CONTENT = {"action": "enroll", "courses": C1, "identifiers": "jane"}


def read(release: str = "moocit", **fields: Any) -> BulkCall:
    return read_bulk_call(CONTENT | fields, RELEASES[release], lambda *place: place == (C1, "A"))


def refusal(content: Any) -> Any:
    with pytest.raises(Refusal) as caught:
        read_bulk_call(content, RELEASES["moocit"], lambda course, cohort: cohort == "A")
    assert caught.value.status == 400
    return caught.value.content


def test_defaults() -> None:
    assert read() == BulkCall(Action.ENROLL, [C1], ["jane"], (), False, False)


def test_splits_identifiers_on_commas_and_white_space() -> None:
    call = read(identifiers=" jane,joe  jim\n,,\u00a0jack\tjane, ")
    assert call.identifiers == ["jane", "joe", "jim", "jack", "jane"]
    assert call.pairs == 5


def test_splits_courses_on_commas_only() -> None:
    assert read(courses=f"{C1},{C2}").courses == [C1, C2]
    content = CONTENT | {"courses": f"{C1}, {C2}"}
    assert refusal(content) == {"courses": [f"Course key not valid:  {C2}"]}


def test_of_a_list_of_courses_only_the_first_counts() -> None:
    assert read(courses=[C1, C2]).courses == [C1]
    assert read(courses=[f"{C1},{C2}", "nonsense"]).courses == [C1, C2]
    assert read(cohorts=["A", "B"]).cohorts == ["A"]


@pytest.mark.parametrize("courses", ["", [], {}])
def test_no_courses_are_no_error(courses: object) -> None:
    assert read(courses=courses).courses == []


@pytest.mark.parametrize("courses", [5, [5], {"a": 1}, True])
def test_what_cannot_be_split_crashes_the_platform(courses: object) -> None:
    with pytest.raises(Crash):
        read(courses=courses)


def test_names_every_missing_field() -> None:
    required = ["This field is required."]
    assert refusal({}) == {"identifiers": required, "courses": required, "action": required}


@pytest.mark.parametrize("field", [*CONTENT, "cohorts", "auto_enroll", "email_students"])
def test_no_field_may_be_null(field: str) -> None:
    assert refusal(CONTENT | {field: None}) == {field: ["This field may not be null."]}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("identifiers", ["jane"], "Not a valid string."),
        ("identifiers", True, "Not a valid string."),
        ("identifiers", " \n", "This field may not be blank."),
        ("courses", "course-v1:Demo", "Course key not valid: course-v1:Demo"),
        ("courses", f"{C1},", "Course key not valid: "),
        ("action", "delete", '"delete" is not a valid choice.'),
        ("auto_enroll", "maybe", "Must be a valid boolean."),
        ("auto_enroll", 2, "Must be a valid boolean."),
        ("email_students", [True], "Must be a valid boolean."),
        ("cohorts", "A", None),
    ],
)
def test_messages(field: str, value: object, message: str | None) -> None:
    fields: dict[str, Any] = {field: value}
    if message is None:
        assert read(**fields).cohorts == ["A"]
    else:
        assert refusal(CONTENT | fields) == {field: [message]}


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "t", "y", "yes", "on", "1"])
def test_true_words(value: object) -> None:
    assert read("2025", auto_enroll=value).auto_enroll is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "False", "f", "n", "no", "off", "0"])
def test_false_words(value: object) -> None:
    assert read("2025", email_students=value).email_students is False


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True"])
def test_words_that_are_true_in_the_body_itself(value: object) -> None:
    call = read("2022", auto_enroll=value)
    assert (call.auto_enroll, call.auto_enroll_told) == (True, True)


@pytest.mark.parametrize("value", ["TRUE", "1", "t", "yes", "on"])
def test_words_that_are_true_only_in_the_answer(value: object) -> None:
    call = read("2022", email_students=value)
    assert (call.email_students, call.email_students_told) == (False, True)


@pytest.mark.parametrize("release", ["moocit", "2020", "2022"])
@pytest.mark.parametrize("reason", [None, ["because"]])
def test_a_reason_of_any_kind_is_taken_up_to_2022(release: str, reason: object) -> None:
    assert read(release, reason=reason).reason == (None if reason is None else "['because']")


def test_a_number_of_identifiers_cannot_be_split_up_to_2022() -> None:
    assert read("2022", identifiers=12345).identifiers is None
    assert read("2025", identifiers=12345).identifiers == ["12345"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action": "unenroll"}, "Cohorts can only be used for enrollments."),
        (
            {"courses": f"{C1},{C2}"},
            "If provided, the cohorts and courses should have equal number of items.",
        ),
        ({"cohorts": "B"}, f"cohort B not found in course {C1}."),
        ({"courses": f"{C1},{C2}", "cohorts": "A,"}, f"cohort  not found in course {C2}."),
    ],
)
def test_cohorts_have_rules(fields: dict[str, str], message: str) -> None:
    content = CONTENT | {"cohorts": "A"} | fields
    assert refusal(content) == {"non_field_errors": [message]}


def test_an_empty_string_of_cohorts_is_none_at_all() -> None:
    assert read(cohorts="", action="unenroll").cohorts == []


def test_wants_an_object() -> None:
    message = "Invalid data. Expected a dictionary, but got list."
    assert refusal([CONTENT]) == {"non_field_errors": [message]}
    assert refusal(None) == {"non_field_errors": ["No data provided"]}
