"""Converts platform JSON to models and back; the only module that knows the platform's keys.

Strict about fields that we use, tolerant of unknown keys. Data that does not fit raises
`UnexpectedResponse` with the path to it. The endpoints' modules use it for requests and answers,
`reports` to write results in the platform's format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from attrs import frozen

from async_enroll.errors import UnexpectedResponse
from async_enroll.http.answer import NOT_JSON
from async_enroll.models import (
    Action,
    Batch,
    EmailStudents,
    Enrollment,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
)
from async_enroll.platform.folding import EVERYONE, REPEATS, folded
from async_enroll.results import moment

T = TypeVar("T")


# Jobs read answers for hundreds of thousands of pairs. Measured on answers of 500 pairs, in µs per
# pair: orjson and cattrs into attrs 5.3, orjson alone 0.45, msgspec into these 0.25, validated.


class StateAnswer(msgspec.Struct, frozen=True, gc=False):
    """The state of a pair in an answer."""

    user: bool
    enrollment: bool
    allowed: bool
    auto_enroll: bool
    cohort: str | None = None


class PairAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer for one pair: two states, or one of the flags for errors.

    Platforms send `success`, `error_type` and `error_message` since 2026.
    """

    identifier: str
    before: StateAnswer | None = None
    after: StateAnswer | None = None
    invalid_identifier: bool = msgspec.field(default=False, name="invalidIdentifier")
    error: bool = False
    success: bool | None = None
    error_type: str | None = None
    error_message: str | None = None


class CourseAnswer(msgspec.Struct, frozen=True):
    """The answer for one course of a bulk call."""

    results: list[PairAnswer]


class AlikeAnswer(CourseAnswer, frozen=True):
    """The answer for a course in which all learners have the same result, in `results`, once."""


class BulkAnswer(msgspec.Struct, frozen=True):
    """The answer of a bulk call, by course key."""

    courses: dict[str, CourseAnswer]


class UndatedRecord(msgspec.Struct, kw_only=True, gc=False):
    """A record of MOOCit's listing without its date, which takes longer to read than the rest."""

    username: str
    email: str | None = None
    course_id: str
    is_active: bool
    mode: str


class _Record(UndatedRecord, kw_only=True, gc=False):
    """A record of MOOCit's listing. `created` is read as text, then made a date and time."""

    created: Any


class _CoreRecord(_Record, kw_only=True, gc=False):
    """A record of Open edX's own list, where `user` is the username."""

    username: str = msgspec.field(name="user")


Undated = UndatedRecord | Enrollment
"""A record whose date does not matter."""


@frozen
class Page:
    """A page of Open edX's own list of enrollments; `next` is the URL of the next one."""

    records: list[Enrollment]
    next: str | None
    newest_first: bool
    """Whether later pages are older: certain for cursor pagination, not for numbered pages."""
    pages: int | None
    """How many pages there are; None unless they are numbered."""


@frozen
class Account:
    """A learner's account.

    The platform discloses `email`, and `is_active` (whether it is activated), to global staff
    only.
    """

    username: str
    email: str | None = None
    is_active: bool | None = None


def bulk_body(
    batch: Batch, *, auto_enroll: bool, email_students: bool, reason: str | None = None
) -> bytes:
    """The JSON body of a bulk call. A `reason` of None is omitted.

    Lists are sent as comma-separated strings: of a JSON list, the platform keeps only the
    first course (`StringListField` in lms/djangoapps/bulk_enroll/serializers.py).
    """
    body: dict[str, str | bool] = {
        "action": batch.action.value,
        "courses": ",".join(batch.courses),
        "identifiers": ",".join(batch.identifiers),
        "auto_enroll": auto_enroll,
        "email_students": email_students,
    }
    if batch.cohorts is not None:
        body["cohorts"] = ",".join(batch.cohorts)
    if reason is not None:
        body["reason"] = reason
    return msgspec.json.encode(body)


def bulk_answer(body: bytes, identifiers: Sequence[str] = ()) -> BulkAnswer:
    """Parse the answer of a bulk call with these identifiers.

    A course that has the same result for all of them, in their order, gets an `AlikeAnswer`; none
    does if `identifiers` are left out.

    Raises:
        UnexpectedResponse: if it does not fit; names the path, for example
            ``courses['…'].results[3].before.user``.

    """
    return _unfolded(*folded(body, identifiers)) or _parsed(body)


def _unfolded(body: bytes, folds: int) -> BulkAnswer | None:
    """Parse an answer that was folded; None if it does not fit, or nothing was folded."""
    if not folds:
        return None
    try:
        courses = _bulk_answers.decode(body).courses
    except NOT_JSON:
        return None  # the careful way says what is wrong, and where
    alike = {
        key: AlikeAnswer(course.results[:1])
        for key, course in courses.items()
        if len(course.results) == REPEATS
        and course.results.count(course.results[0]) == REPEATS
        and course.results[0].identifier == EVERYONE
    }
    return BulkAnswer({**courses, **alike}) if len(alike) == folds else None


def _parsed(body: bytes) -> BulkAnswer:
    try:
        return _bulk_answers.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(error, body) from None
    except NOT_JSON as error:
        raise UnexpectedResponse(f"the answer is not JSON: {error}") from None


class _RawCourses(msgspec.Struct):
    courses: dict[str, msgspec.Raw]


_record = msgspec.json.Decoder(_Record)
_records = msgspec.json.Decoder(list[_Record])
_undated_record = msgspec.json.Decoder(UndatedRecord)
_undated_records = msgspec.json.Decoder(list[UndatedRecord])
_core_records = msgspec.json.Decoder(list[_CoreRecord])
_accounts = msgspec.json.Decoder(list[Account])
_pages = msgspec.json.Decoder(dict[str, msgspec.Raw])
_bulk_answers = msgspec.json.Decoder(BulkAnswer)
_raw_courses = msgspec.json.Decoder(_RawCourses)
_course_answers = msgspec.json.Decoder(CourseAnswer)


def _explained(error: msgspec.ValidationError, body: bytes) -> UnexpectedResponse:
    """The error with its path, completed by the course key, which msgspec omits."""
    words, _, place = str(error).partition(" - at `$")
    path = place.removesuffix("`")
    if path.startswith("[...]", len(_COURSES)) and (key := _invalid_course(body)) is not None:
        path = f"{_COURSES}[{key!r}]{path.removeprefix(f'{_COURSES}[...]')}"
    return UnexpectedResponse(words, path=path.removeprefix("."))


def _invalid_course(body: bytes) -> str | None:
    """The first course whose part of an answer is invalid; None if it cannot be found."""
    try:
        courses = _raw_courses.decode(body).courses
    except msgspec.MsgspecError:
        return None
    for key, course in courses.items():
        try:
            _course_answers.decode(course)
        except msgspec.MsgspecError:
            return key
    return None


_COURSES = ".courses"


@lru_cache(maxsize=4096)
def state(answer: StateAnswer) -> EnrollmentState:
    """Convert a state to its model. Cached, since few distinct states occur."""
    return EnrollmentState(*msgspec.structs.astuple(answer))


def decoded(records: bytes, *, lines: bool = False) -> list[Enrollment]:
    """Decode complete records of the listing, separated by commas or, if `lines`, line breaks.

    Raises:
        msgspec.ValidationError: if one does not fit; `platform.explain` says which, and why.
        Exception: one of `NOT_JSON`, also if the last record is cut.

    """
    if lines:
        return _converted(_record.decode_lines(records))
    return _converted(_records.decode(b"[%b]" % records))


def undated(records: bytes, *, lines: bool = False) -> list[UndatedRecord]:
    """As `decoded`, without the dates of the records: in a third of the time."""
    if lines:
        return _undated_record.decode_lines(records)
    return _undated_records.decode(b"[%b]" % records)


def _converted(records: Sequence[_Record]) -> list[Enrollment]:
    # msgspec reads no time without seconds, as MOOCit writes it. In µs a record: 0.2 to decode,
    # 0.07 for the time, 0.3 to convert; to call `Enrollment` instead of converting takes 0.65.
    try:
        for record in records:
            if record.created is not None:
                record.created = datetime.fromisoformat(record.created)
    except (TypeError, ValueError) as error:
        raise msgspec.ValidationError(str(error)) from None
    return msgspec.convert(records, list[Enrollment], from_attributes=True)


def page(body: bytes, *, start: int) -> Page:
    """Parse a page of Open edX's own list; `start` is the index of its first record.

    Raises:
        UnexpectedResponse: if it does not fit; names the path, for example
            ``records[17].created``.

    """
    value = _page(body)
    listed = value.pop("results", None)
    if listed is None or not bytes(listed).startswith(b"["):
        raise UnexpectedResponse("expected a list", path="results")
    fields = {name: _json(raw) for name, raw in value.items()}
    following = next_page(fields)
    try:
        records = _converted(_core_records.decode(listed))
    except NOT_JSON:
        from async_enroll.platform.explain import enrollments

        records = enrollments([_renamed(record) for record in _json(listed)], start=start)
    times = [record.created.timestamp() for record in records if record.created]
    descending = len(times) == len(records) and times == sorted(times, reverse=True)
    numbered = "count" in fields or "pagination" in fields
    counts = [place.get("num_pages") for place in _page_objects(fields)]
    pages = next((count for count in counts if isinstance(count, int)), None)
    return Page(records, following, newest_first=descending and not numbered, pages=pages)


def next_page(listed: dict[str, Any]) -> str | None:
    """The address of the page after this one; None for the last page.

    It is in the page itself or in its `pagination` (edx_rest_framework_extensions:
    `NamespacedPageNumberPagination`).

    Raises:
        UnexpectedResponse: if `next` is missing or no string. A page without it may not be the
            last, so it is not taken for that.

    """
    links = [place["next"] for place in _page_objects(listed) if "next" in place]
    if not links or not all(link is None or isinstance(link, str) for link in links):
        raise UnexpectedResponse("expected an address or null", path="next")
    return next((link for link in links if link is not None), None)


def _page_objects(listed: dict[str, Any]) -> list[dict[str, Any]]:
    """Where a page says what page it is."""
    places = (listed, listed.get("pagination"))
    return [place for place in places if isinstance(place, dict)]


def accounts(body: bytes) -> list[Account]:
    """Parse a list of accounts.

    Raises:
        UnexpectedResponse: if it does not fit; names the path, for example
            ``accounts[17].username``.

    """
    try:
        return _accounts.decode(body)
    except NOT_JSON:
        from async_enroll.platform.explain import structured

        return structured(_json(body), Account, "accounts")


def own_username(body: bytes) -> str:
    """Parse what the platform tells of the token's own user.

    Raises:
        UnexpectedResponse: if it names nobody.

    """
    value = _json(body)
    username = value.get("username") if isinstance(value, dict) else None
    if not isinstance(username, str) or not username:
        raise UnexpectedResponse("expected a name", path="username")
    return username


def bulk_object(
    results: Mapping[str, Iterable[EnrollmentResult]],
    *,
    auto_enroll: bool,
    email_students: EmailStudents,
) -> dict[str, Any]:
    """Results by course in the platform's format, as if one call had answered them all.

    `action` is None for results of both actions. Each result also has what the platform's format
    lacks, `outcome` and `notified`; and that of a pair that failed has the words of its `error`,
    where the platform has but true.
    """
    listed = {course_id: list(of_course) for course_id, of_course in results.items()}
    return {
        "action": _common_action(result for of_course in listed.values() for result in of_course),
        "auto_enroll": auto_enroll,
        "email_students": email_students,
        "courses": {
            course_id: {
                "action": _common_action(of_course),
                "auto_enroll": auto_enroll,
                "results": [_pair_object(result) for result in of_course],
            }
            for course_id, of_course in listed.items()
        },
    }


def result_object(result: EnrollmentResult) -> dict[str, Any]:
    """All fields of a result, as a JSON object with our own keys."""
    return {
        "identifier": result.identifier,
        "course_id": result.course_id,
        "action": result.action.value,
        "outcome": result.outcome.value,
        "before": result.before and _state_object(result.before),
        "after": result.after and _state_object(result.after),
        "error": result.error,
        "notified": result.notified,
        "attempts": result.attempts,
        "line": result.line,
        "cohort": result.cohort,
        "time": result.at and moment(result.at),
    }


def _page(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _pages.decode(body)
    except NOT_JSON:
        value = _json(body)  # raises if it is no JSON
    from async_enroll.platform.explain import unexpected

    raise unexpected("a page of enrollments", value)


def _json(body: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(body)
    except NOT_JSON as error:
        raise UnexpectedResponse(f"the answer is not JSON: {error}") from None


def _renamed(record: Any) -> Any:
    """A record of Open edX's own list, where `user` is the username."""
    if isinstance(record, dict) and "user" in record:
        record["username"] = record.pop("user")
    return record


def _common_action(results: Iterable[EnrollmentResult]) -> str | None:
    actions: set[Action] = {result.action for result in results}
    return actions.pop().value if len(actions) == 1 else None


def _pair_object(result: EnrollmentResult) -> dict[str, Any]:
    fields: dict[str, Any] = {"identifier": result.identifier}
    if result.outcome is Outcome.INVALID_IDENTIFIER:
        fields["invalidIdentifier"] = True
    elif result.after is not None:
        fields["before"] = result.before and _state_object(result.before, asked=result.cohort)
        fields["after"] = _state_object(result.after)
    if not result.outcome.ok:
        fields["error"] = result.error or True
    return {**fields, "outcome": result.outcome.value, "notified": result.notified}


def _state_object(state: EnrollmentState, *, asked: str | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "user": state.user,
        "enrollment": state.enrollment,
        "allowed": state.allowed,
        "auto_enroll": state.auto_enroll,
    }
    return {**fields, "cohort": state.cohort} if asked or state.cohort is not None else fields
