"""Platform JSON to models and back: the only place that knows the platform's key names.

Strict where we rely on a field, tolerant of keys we do not know. What does not fit
raises `UnexpectedResponse` with the path to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import orjson
from attrs import field, frozen
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn

from async_enroll.errors import UnexpectedResponse
from async_enroll.models import (
    Action,
    Batch,
    Enrollment,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
)

T = TypeVar("T")


# Answers come by the hundred thousand pairs. Measured, µs a pair on answers of 500: orjson and
# cattrs into attrs 5.3, orjson alone 0.45, msgspec into these 0.25, checked as well.


class StateAnswer(msgspec.Struct, frozen=True, gc=False):
    """The platform's word on where a pair stands."""

    user: bool
    enrollment: bool
    allowed: bool
    auto_enroll: bool
    cohort: str | None = None


class PairAnswer(msgspec.Struct, frozen=True, gc=False):
    """The platform's word on one pair: two states, or one of its two flags.

    `success` and what kind of error it was are told since 2026.
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
    """What a bulk call answers for one course."""

    results: list[PairAnswer]


class BulkAnswer(msgspec.Struct, frozen=True):
    """What a bulk call answers, by course key."""

    courses: dict[str, CourseAnswer]


@frozen
class Page:
    """A page of Open edX's own list of enrollments; `next` names the page after it."""

    records: list[Enrollment]
    next: str | None
    newest_first: bool
    """Whether what follows is older. Pages by cursor are so; those by number are not sure to be."""


@frozen
class Account:
    """Who a learner is; the address is told to global staff only."""

    username: str
    email: str | None = None


def bulk_body(
    batch: Batch, *, auto_enroll: bool, email_students: bool, reason: str | None = None
) -> bytes:
    """The JSON body of a bulk call; without a `reason`, where that is None.

    Lists travel as comma-separated strings: of a JSON list the platform keeps only
    the first course (`StringListField` in lms/djangoapps/bulk_enroll/serializers.py).
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
    return orjson.dumps(body)


def bulk_answer(body: bytes) -> BulkAnswer:
    """Read the answer of a bulk call.

    Raises:
        UnexpectedResponse: naming the path, as in ``courses['…'].results[3].before.user``.

    """
    try:
        return _bulk_answers.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(error, body) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnexpectedResponse(f"the answer is not JSON: {error}") from None


class _RawCourses(msgspec.Struct):
    courses: dict[str, msgspec.Raw]


_bulk_answers = msgspec.json.Decoder(BulkAnswer)
_raw_courses = msgspec.json.Decoder(_RawCourses)
_course_answers = msgspec.json.Decoder(CourseAnswer)


def _explained(error: msgspec.ValidationError, body: bytes) -> UnexpectedResponse:
    """What is wrong, and where: with the course key, which msgspec leaves out."""
    words, _, place = str(error).partition(" - at `$")
    path = place.removesuffix("`")
    if path.startswith("[...]", len(_COURSES)) and (key := _culprit(body)) is not None:
        path = f"{_COURSES}[{key!r}]{path.removeprefix(f'{_COURSES}[...]')}"
    return UnexpectedResponse(words, path=path.removeprefix("."))


def _culprit(body: bytes) -> str | None:
    """The course whose part of an answer cannot be read; None where not even that is known."""
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
def state(told: StateAnswer) -> EnrollmentState:
    """A state as our own value: one object for equal ones, since states have few values."""
    return EnrollmentState(*msgspec.structs.astuple(told))


@frozen
class TokenAnswer:
    """A token that a site has given out; `lifetime` is in seconds, None where it is not told.

    `kind` is lower-case, as in ``bearer``; None where it is not told.
    """

    token: str = field(repr=False)
    lifetime: float | None
    kind: str | None


def is_token(text: str) -> bool:
    """Whether `text` can stand in an ``Authorization`` header, after the scheme."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def token_answer(body: bytes) -> TokenAnswer:
    """Read the answer of the token endpoint (RFC 6749, 5.1).

    Raises:
        UnexpectedResponse: naming the path; neither it nor its context shows the token.

    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:  # holds the answer, and must not be the context of ours
        value = None
    if not isinstance(value, dict):
        raise UnexpectedResponse("the answer is not a JSON object")
    token = value.get("access_token")
    if not isinstance(token, str) or not is_token(token):
        expected = "missing" if token is None else "not a token"
        raise UnexpectedResponse(expected, path="access_token")
    kind = value.get("token_type")
    if kind is not None and not isinstance(kind, str):
        raise UnexpectedResponse("expected a string", path="token_type")
    return TokenAnswer(token, _lifetime(value.get("expires_in")), kind and kind.lower())


def _lifetime(value: Any) -> float | None:
    # Some servers write the number as a string.
    try:
        seconds = None if value is None else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if seconds is not None and (isinstance(value, bool) or not 0 < seconds < math.inf):
        raise UnexpectedResponse(str(_Mismatch("seconds, more than 0", value)), path="expires_in")
    return seconds


def enrollments(records: list[Any], *, start: int) -> list[Enrollment]:
    """Read records of the enrollment listing; `start` is the number of the first one.

    Raises:
        UnexpectedResponse: naming the path, as in ``records[17].created``.

    """
    found: list[Enrollment] = []
    for record in records:
        try:
            found.append(_enrollment(record))
        except Exception as error:  # noqa: BLE001  # cattrs gathers whatever its hooks raise
            raise _unexpected(error, f"records[{start + len(found)}]") from None
    return found


def page(body: bytes, *, start: int) -> Page:
    """Read a page of Open edX's own list; `start` is the number of its first record.

    Raises:
        UnexpectedResponse: naming the path, as in ``records[17].created``.

    """
    value = _json(body)
    if not isinstance(value, dict):
        raise UnexpectedResponse(f"{_Mismatch('a page of enrollments', value)}")
    listed = value.get("results")
    if not isinstance(listed, list):
        raise UnexpectedResponse("expected a list", path="results")
    following = next_page(value)
    records = enrollments([_renamed(record) for record in listed], start=start)
    times = [record.created.timestamp() for record in records if record.created]
    descending = len(times) == len(records) and times == sorted(times, reverse=True)
    numbered = "count" in value or "pagination" in value
    return Page(records, following, newest_first=descending and not numbered)


def next_page(listed: dict[str, Any]) -> str | None:
    """The address of the page after one; None after the last.

    It stands in the page itself or in its `pagination` (edx_rest_framework_extensions:
    `NamespacedPageNumberPagination`). A page that does not say what follows cannot be
    taken for the last.

    Raises:
        UnexpectedResponse: where it does not.

    """
    places = (listed, listed.get("pagination"))
    told = [place["next"] for place in places if isinstance(place, dict) and "next" in place]
    if not told or not all(one is None or isinstance(one, str) for one in told):
        raise UnexpectedResponse("expected an address or null", path="next")
    return next((one for one in told if one is not None), None)


def accounts(body: bytes) -> list[Account]:
    """Read accounts.

    Raises:
        UnexpectedResponse: naming the path, as in ``accounts[17].username``.

    """
    value = _json(body)
    if not isinstance(value, list):
        raise UnexpectedResponse(f"{_Mismatch('a list of accounts', value)}")
    try:
        return _converter.structure(value, list[Account])
    except Exception as error:  # noqa: BLE001  # cattrs gathers whatever its hooks raise
        raise _unexpected(error, "accounts") from None


def bulk_object(
    results: Mapping[str, Iterable[EnrollmentResult]], *, auto_enroll: bool, email_students: bool
) -> dict[str, Any]:
    """Results by course in the platform's own shape, as if one call had answered them all.

    `action` is None where results of both actions stand together. Each result has
    `notified` as well, for which the platform has no word.
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
    """A result in full, with our own words for what the platform has none for."""
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
    }


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
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
    told: dict[str, Any] = {"identifier": result.identifier}
    if result.outcome is Outcome.INVALID_IDENTIFIER:
        told["invalidIdentifier"] = True
    elif result.after is None:
        told["error"] = True
    else:
        told["before"] = result.before and _state_object(result.before)
        told["after"] = _state_object(result.after)
    return {**told, "notified": result.notified}


def _state_object(state: EnrollmentState) -> dict[str, Any]:
    told = {
        "user": state.user,
        "enrollment": state.enrollment,
        "allowed": state.allowed,
        "auto_enroll": state.auto_enroll,
    }
    return told if state.cohort is None else {**told, "cohort": state.cohort}


class _Mismatch(ValueError):
    """A value of the wrong kind; its text says what was expected and what was found."""

    def __init__(self, expected: str, found: object) -> None:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        super().__init__(f"expected {expected}, found {shown}")


def _unexpected(error: Exception, path: str) -> UnexpectedResponse:
    first = transform_error(error, path, lambda error, _: _words(error))[0]
    message, _, place = first.rpartition(" @ ")
    return UnexpectedResponse(message, path=place.removeprefix("."))


def _words(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, _Mismatch):
        return str(error)
    return "expected a list or an object"


def _exactly(kind: type[T], expected: str) -> Callable[[Any, Any], T]:
    def structure(value: Any, _: Any) -> T:
        if not isinstance(value, kind):
            raise _Mismatch(expected, value)
        return value

    return structure


def _created(value: Any, _: Any) -> datetime | None:
    if value is None:  # the platform's column may be empty (CourseEnrollment.created)
        return None
    # "2021-03-09 20:15" from the reporting API, ISO 8601 elsewhere: Python reads both.
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Mismatch("a date and time", value) from None


def _object(cls: type[T]) -> Callable[[Any, Any], T]:
    """A hook that reads `cls` from an object and from nothing else."""
    structure = make_dict_structure_fn(cls, _converter)

    def hook(value: Any, _: Any) -> T:
        if not isinstance(value, dict):
            raise _Mismatch("an object", value)
        return structure(value, cls)

    return hook


def _enrollment(record: Any) -> Enrollment:
    if isinstance(record, dict):
        record.setdefault("email", None)  # sites other than MOOCit's do not tell it
    return _enrollment_fields(record, Enrollment)


_converter = Converter(use_alias=True)
_converter.register_structure_hook(str, _exactly(str, "a string"))
_converter.register_structure_hook(bool, _exactly(bool, "true or false"))
_converter.register_structure_hook(datetime | None, _created)
_enrollment_fields = _object(Enrollment)
_converter.register_structure_hook(Account, _object(Account))
