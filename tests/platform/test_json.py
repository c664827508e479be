"""Platform JSON to models and back."""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import msgspec
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll import Enrollment, EnrollmentResult, EnrollmentState, Outcome, UnexpectedResponse
from async_enroll.http.token_answer import TokenAnswer, token_answer
from async_enroll.http.tokens import is_token
from async_enroll.models import Action, Batch
from async_enroll.platform.explain import enrollments
from async_enroll.platform.json import (
    PairAnswer,
    StateAnswer,
    accounts,
    bulk_answer,
    bulk_body,
    bulk_object,
    decoded,
    page,
    result_object,
)

COURSE = "course-v1:Org+C1+2026"
STATE = {"user": True, "enrollment": False, "allowed": False, "auto_enroll": True}
RECORD = {
    "username": "jane",
    "email": "jane@example.org",
    "course_id": COURSE,
    "is_active": True,
    "mode": "audit",
    "created": "2021-03-09 20:15",
}


def answer(*results: Any) -> dict[str, Any]:
    return {
        "action": "enroll",
        "auto_enroll": True,
        "email_students": False,
        "courses": {COURSE: {"action": "enroll", "auto_enroll": True, "results": list(results)}},
    }


def both(**change: Any) -> dict[str, Any]:
    return {"identifier": "jane", "before": {**STATE, **change}, "after": STATE}


def test_lists_travel_as_comma_separated_strings() -> None:
    batch = Batch(Action.ENROLL, ("c1", "c2"), ("jane", "joe"), ("red", "blue"))
    assert msgspec.json.decode(bulk_body(batch, auto_enroll=True, email_students=False)) == {
        "action": "enroll",
        "courses": "c1,c2",
        "identifiers": "jane,joe",
        "cohorts": "red,blue",
        "auto_enroll": True,
        "email_students": False,
    }


def test_cohorts_and_a_reason_are_left_out_where_there_are_none() -> None:
    body = bulk_body(
        Batch(Action.UNENROLL, ("c1",), ("jane",)), auto_enroll=False, email_students=True
    )
    assert not {"cohorts", "reason"} & msgspec.json.decode(body).keys()


def test_a_reason_travels_as_it_is() -> None:
    batch = Batch(Action.ENROLL, ("c1",), ("jane",))
    body = bulk_body(batch, auto_enroll=True, email_students=False, reason='a, "b"\nété')
    assert msgspec.json.decode(body)["reason"] == 'a, "b"\nété'


def test_the_three_kinds_of_result() -> None:
    told = bulk_answer(
        msgspec.json.encode(
            answer(
                both(cohort="red"),
                {"identifier": "x@", "invalidIdentifier": True},
                {"identifier": "joe", "error": True},
            )
        )
    )
    before = StateAnswer(True, False, False, True, "red")
    after = StateAnswer(True, False, False, True)
    assert told.courses[COURSE].results == [
        PairAnswer("jane", before, after),
        PairAnswer("x@", invalid_identifier=True),
        PairAnswer("joe", error=True),
    ]


def test_unknown_keys_are_passed_over() -> None:
    told = bulk_answer(
        msgspec.json.encode({**answer({**both(mood="fine"), "more": 1}), "more": {}})
    )
    assert told.courses[COURSE].results[0].identifier == "jane"


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        (answer(both(user="yes")), ".results[0].before.user", "Expected `bool`, got `str`"),
        (answer(both(), both(user=1)), ".results[1].before.user", "Expected `bool`, got `int`"),
        (answer(both(cohort=7)), ".results[0].before.cohort", "Expected `str | null`"),
        (answer({**both(), "before": {}}), ".results[0].before", "missing required field `user`"),
        (answer("jane"), ".results[0]", "Expected `object`, got `str`"),
        (answer({"identifier": 3, "error": True}), ".results[0].identifier", "Expected `str`"),
    ],
)
def test_a_malformed_result_is_named_by_its_path(body: Any, path: str, words: str) -> None:
    with pytest.raises(UnexpectedResponse, match=words) as raised:
        bulk_answer(msgspec.json.encode(body))
    assert raised.value.path == f"courses['{COURSE}']{path}"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{}", ""),
        (b'{"courses": []}', "courses"),
        (b'{"courses": {"c": {}}}', "courses['c']"),
        (b'{"courses": {"c": {"results": 3}}}', "courses['c'].results"),
        (b"[]", ""),
        (b"<html>", ""),
        (b'{"courses": {', ""),
        (b"\xff", ""),
        (
            b'{"courses": {"c": {"results": [{"identifier": 1, "x": 1e999}]}}}',
            "courses['c'].results[0].identifier",
        ),
        (b'{"courses": ' + 5000 * b"[" + 5000 * b"]" + b"}", "courses"),
    ],
)
def test_a_malformed_answer_is_named_by_its_path(body: bytes, path: str) -> None:
    with pytest.raises(UnexpectedResponse) as raised:
        bulk_answer(body)
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-03-09 20:15", datetime(2021, 3, 9, 20, 15)),  # as the platform says
        ("2021-03-09T20:15:30Z", datetime(2021, 3, 9, 20, 15, 30, tzinfo=UTC)),
        (
            "2021-03-09T20:15:30.123456+02:00",
            datetime(2021, 3, 9, 20, 15, 30, 123456, timezone(timedelta(hours=2))),
        ),
    ],
)
def test_created_is_read_in_both_forms(text: str, moment: datetime) -> None:
    (record,) = enrollments([{**RECORD, "created": text}], start=0)
    assert record.created == moment
    assert record.created.tzinfo == moment.tzinfo


times = st.sampled_from(
    ["2021-03-09 20:15", "2021-03-09", "20210309T2015Z", "2021-03-09T20:15:30.5+02:00", "soon", ""]
)
junk: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
)
texts = st.text(max_size=5)


@given(
    st.fixed_dictionaries(
        {"username": texts, "course_id": texts, "created": times | st.datetimes().map(str)},
        optional={"email": texts | st.none(), "more": junk},
    ),
    st.dictionaries(st.sampled_from(list(RECORD)), junk, max_size=1),
    st.sampled_from(["", *RECORD]),
    st.booleans(),
)
def test_both_ways_to_read_a_record_agree(
    told: dict[str, Any], wrong: dict[str, Any], missing: str, lines: bool
) -> None:
    record = {"is_active": True, "mode": "audit", **told, **wrong}
    record.pop(missing, None)
    try:
        expected = enrollments([record.copy()], start=0)
    except UnexpectedResponse:
        expected = []
    found = []
    with suppress(msgspec.ValidationError):
        found = decoded(msgspec.json.encode(record), lines=lines)
    assert found == expected
    assert [one.created and one.created.tzinfo for one in found] == [
        one.created and one.created.tzinfo for one in expected
    ]


def test_what_is_read_is_the_model_itself() -> None:
    (record,) = decoded(msgspec.json.encode(RECORD))
    created = datetime(2021, 3, 9, 20, 15)
    expected = Enrollment("jane", "jane@example.org", COURSE, True, "audit", created)
    assert type(record) is Enrollment
    assert (record, hash(record), repr(record)) == (expected, hash(expected), repr(expected))
    with pytest.raises(FrozenInstanceError):
        record.mode = "honor"  # type: ignore[misc]


def test_an_enrollment_without_an_address() -> None:
    (record,) = enrollments([{k: v for k, v in RECORD.items() if k != "email"}], start=0)
    assert record.email is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"created": "yesterday"}, "records[8].created"),
        ({"created": 1}, "records[8].created"),
        ({"is_active": None}, "records[8].is_active"),
        ({"username": None}, "records[8].username"),
    ],
)
def test_a_malformed_record_is_named_by_its_number(change: dict[str, Any], path: str) -> None:
    with pytest.raises(UnexpectedResponse) as raised:
        enrollments([RECORD, {**RECORD, **change}], start=7)
    assert raised.value.path == path


CORE = {
    "created": "2021-03-09T20:15:59.123456Z",
    "mode": "audit",
    "is_active": True,
    "user": "jane",
    "course_id": COURSE,
}


def test_a_page_of_the_core_list() -> None:
    found = page(msgspec.json.encode({"next": "/x", "previous": None, "results": [CORE]}), start=0)
    created = datetime(2021, 3, 9, 20, 15, 59, 123456, UTC)
    assert found.records == [Enrollment("jane", None, COURSE, True, "audit", created)]
    assert (found.next, found.newest_first) == ("/x", True)


def test_a_page_of_the_core_list_that_names_the_next_in_its_pagination() -> None:
    told = {"pagination": {"next": "/x", "count": 300, "num_pages": 3}, "results": [CORE]}
    assert page(msgspec.json.encode(told), start=0).next == "/x"


def test_a_page_of_the_core_list_that_is_odd() -> None:
    odd = {**CORE, "username": CORE["user"]}
    odd.pop("user")
    found = page(msgspec.json.encode({"results": [CORE, odd], "next": None}), start=0)
    assert [record.username for record in found.records] == ["jane", "jane"]


@pytest.mark.parametrize("results", [None, {}, "[]", 3])
def test_a_page_without_a_list(results: Any) -> None:
    with pytest.raises(UnexpectedResponse, match="expected a list") as raised:
        page(msgspec.json.encode({"next": None, "results": results}), start=0)
    assert raised.value.path == "results"


@pytest.mark.parametrize("missing", CORE)
def test_a_malformed_record_of_a_page_is_named_by_its_number(missing: str) -> None:
    record = {name: value for name, value in CORE.items() if name != missing}
    with pytest.raises(UnexpectedResponse) as raised:
        page(msgspec.json.encode({"next": None, "results": [CORE, record]}), start=100)
    assert raised.value.path == f"records[101].{'username' if missing == 'user' else missing}"


@pytest.mark.parametrize(
    ("days", "more", "expected"),
    [
        ([3, 2, 2, 1], {}, True),
        ([], {}, True),
        ([1, 2], {}, False),
        ([3, 1], {"count": 2}, False),
        ([3, 1], {"pagination": {"next": None}}, False),
    ],
)
def test_which_pages_are_newest_first(
    days: list[int], more: dict[str, Any], expected: bool
) -> None:
    results = [{**CORE, "created": f"2021-03-0{day}T20:15:00Z"} for day in days]
    body = msgspec.json.encode({"next": None, "results": results, **more})
    assert page(body, start=0).newest_first is expected


def test_what_is_found_is_shortened() -> None:
    with pytest.raises(UnexpectedResponse) as raised:
        enrollments([{**RECORD, "is_active": "x" * 1000}], start=0)
    assert len(str(raised.value)) < 200


def test_results_in_the_platforms_own_shape() -> None:
    state = EnrollmentState(True, True, False, True, "red")
    results = [
        EnrollmentResult("jane", COURSE, Action.ENROLL, Outcome.ENROLLED, state, state),
        EnrollmentResult("x@", COURSE, Action.ENROLL, Outcome.INVALID_IDENTIFIER, error="neither"),
        EnrollmentResult("joe", COURSE, Action.ENROLL, Outcome.REJECTED, error="no"),
        EnrollmentResult(
            "jim", COURSE, Action.ENROLL, Outcome.ENROLLED, None, state, notified=None
        ),
        EnrollmentResult("jon", COURSE, Action.ENROLL, Outcome.ERROR, state, state, "not as asked"),
        EnrollmentResult("jo", COURSE, Action.ENROLL, Outcome.ERROR),
    ]
    value = bulk_object({COURSE: results}, auto_enroll=True, email_students=False)
    told = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": True}
    told_with_cohort = {**told, "cohort": "red"}
    assert value == answer(
        {
            "identifier": "jane",
            "before": told_with_cohort,
            "after": told_with_cohort,
            "outcome": "enrolled",
            "notified": False,
        },
        {
            "identifier": "x@",
            "invalidIdentifier": True,
            "error": "neither",
            "outcome": "invalid_identifier",
            "notified": False,
        },
        {"identifier": "joe", "error": "no", "outcome": "rejected", "notified": False},
        {
            "identifier": "jim",
            "before": None,
            "after": told_with_cohort,
            "outcome": "enrolled",
            "notified": None,
        },
        {
            "identifier": "jon",
            "before": told_with_cohort,
            "after": told_with_cohort,
            "error": "not as asked",
            "outcome": "error",
            "notified": False,
        },
        {"identifier": "jo", "error": True, "outcome": "error", "notified": False},
    )


def test_mixed_actions_have_no_common_one() -> None:
    results = [
        EnrollmentResult("jane", COURSE, action, Outcome.REJECTED, error="no") for action in Action
    ]
    value = bulk_object({COURSE: results}, auto_enroll=True, email_students=False)
    assert value["action"] is None
    assert value["courses"][COURSE]["action"] is None


def test_a_result_in_full() -> None:
    state = EnrollmentState(True, True, False, True)
    result = EnrollmentResult(
        "jane", COURSE, Action.ENROLL, Outcome.ENROLLED, state, state, cohort="red", at=1.5e9
    )
    told = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": True}
    assert result_object(result) == {
        "identifier": "jane",
        "course_id": COURSE,
        "action": "enroll",
        "outcome": "enrolled",
        "before": told,
        "after": told,
        "error": None,
        "notified": False,
        "attempts": 1,
        "line": None,
        "cohort": "red",
        "time": "2017-07-14T02:40:00Z",
    }


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ({"expires_in": 3600, "token_type": "JWT", "scope": "read"}, (3600.0, "jwt")),
        ({"expires_in": 0.4, "token_type": "Bearer"}, (0.4, "bearer")),
        ({"expires_in": "3599"}, (3599.0, None)),
        ({"expires_in": None}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_a_token(told: dict[str, Any], answer: tuple[float | None, str | None]) -> None:
    body = msgspec.json.encode({"access_token": "a.b-c", **told})
    assert token_answer(body) == TokenAnswer("a.b-c", *answer)


@pytest.mark.parametrize("lifetime", [0, -5, "0", "soon", "nan", "inf", True, False, [], {}, ""])
def test_what_is_no_lifetime(lifetime: Any) -> None:
    with pytest.raises(UnexpectedResponse, match="expected seconds, more than 0") as raised:
        token_answer(msgspec.json.encode({"access_token": "abc", "expires_in": lifetime}))
    assert raised.value.path == "expires_in"


@pytest.mark.parametrize("lifetime", [b"1" * 400, b"1" * 5000, b"1e999"])
def test_a_lifetime_beyond_all_numbers(lifetime: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        token_answer(b'{"access_token": "abc", "expires_in": %b}' % lifetime)


NOT_JSON_AT_ALL = [b"", b"{", b"\xff", b'"\xff"', b'"\\ud800"', b"NaN", b"[1e999]", b"[" * 100_000]


@pytest.mark.parametrize("body", NOT_JSON_AT_ALL)
@pytest.mark.parametrize("read", [bulk_answer, partial(page, start=0), accounts, token_answer])
def test_what_is_not_json(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        read(body)


text = st.text("a1 .-\n\0é", max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3),
    max_leaves=5,
)
SECRET = "s3cr3t-t0k3n"
tokens = st.sampled_from([SECRET, f"{SECRET} ", f"{SECRET}\r\nHost: evil", [SECRET], {"a": SECRET}])


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "access_token": tokens | anything,
            "expires_in": anything,
            "token_type": anything,
        },
    ),
    st.integers(0, 8),
)
def test_any_answer_is_a_token_or_unexpected(told: dict[str, Any], cut: int) -> None:
    body = json.dumps(told).encode()
    answer, shown = None, ""
    try:
        answer = token_answer(body[: len(body) - cut])
    except UnexpectedResponse as error:
        shown = f"{error!r}{vars(error)}{error.__cause__!r}{error.__context__!r}"
    if answer:
        shown = repr(answer)
        assert is_token(answer.token)
        assert answer.lifetime is None or 0 < answer.lifetime < math.inf
    assert SECRET not in shown
