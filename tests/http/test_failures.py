"""What an answer means: each line of the platform's table."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from async_enroll import (
    AuthenticationError,
    ConfigurationError,
    PermissionDenied,
    PlatformError,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.errors import NoSuchEndpoint, NoToken
from async_enroll.http.answer import Answer
from async_enroll.http.failures import FailureKind, classify, masked, no_token

PAGE = b"<html><head><title>\nBad Gateway </title></head></html>"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


@pytest.mark.parametrize(
    ("came_back", "kind", "error_type", "words"),
    [
        (
            answer(400, b'{"courses": ["Course key not valid: x"], "action": ["a", "b"]}'),
            FailureKind.REFUSED,
            PlatformError,
            "courses: Course key not valid: x; action: a b",
        ),
        (
            answer(400, b'{"non_field_errors": ["cohort red not found in course c."]}'),
            FailureKind.REFUSED,
            PlatformError,
            "cohort red not found in course c.",
        ),
        (answer(401, b'{"detail": "no"}'), FailureKind.UNAUTHORIZED, AuthenticationError, "no"),
        (answer(403, b'{"detail": "no"}'), FailureKind.FATAL, PermissionDenied, "no"),
        (
            answer(404, b'{"detail": "Not found."}'),
            FailureKind.MISSING,
            PlatformError,
            "Not found.",
        ),
        (answer(404, PAGE), FailureKind.INTERCEPTED, NoSuchEndpoint, "no such endpoint"),
        (
            answer(404, b'{"message": "no Route matched"}'),
            FailureKind.UNDONE,
            NoSuchEndpoint,
            "no Route matched",
        ),
        (
            answer(404, b'{"deta', Content_Type="application/json"),
            FailureKind.MISSING,
            PlatformError,
            "status 404",
        ),
        (answer(405, b'{"detail": "no"}'), FailureKind.UNDONE, PlatformError, "no"),
        (answer(406, b'{"detail": "no"}'), FailureKind.REFUSED, PlatformError, "no"),
        (
            answer(403, PAGE),
            FailureKind.INTERCEPTED,
            PlatformError,
            "rejects this call ('Bad Gateway')",
        ),
        (
            answer(406, PAGE),
            FailureKind.INTERCEPTED,
            PlatformError,
            "rejects this call ('Bad Gateway')",
        ),
        (answer(408), FailureKind.INTERCEPTED, PlatformError, "rejects this call (status 408)"),
        (answer(413, PAGE), FailureKind.TOO_LARGE, PlatformError, "status 413"),
        (answer(429, b'{"detail": "slow"}'), FailureKind.THROTTLED, PlatformError, "slow"),
        (answer(500, PAGE), FailureKind.UNDONE, PlatformError, "status 500"),
        (answer(502, PAGE), FailureKind.UNKNOWN, PlatformError, "a page titled 'Bad Gateway'"),
        (answer(503, PAGE), FailureKind.UNKNOWN, PlatformError, "status 503"),
        (answer(504, b""), FailureKind.UNKNOWN, PlatformError, "status 504"),
        (answer(524, PAGE), FailureKind.UNKNOWN, PlatformError, "status 524"),
        (answer(204), FailureKind.UNKNOWN, UnexpectedResponse, "expected status 200"),
        (
            answer(301, Location="https://new.example.org/"),
            FailureKind.INTERCEPTED,
            ConfigurationError,
            "redirects to https://new.example.org/",
        ),
        (
            answer(302, Location="/login?next=/api"),
            FailureKind.INTERCEPTED,
            ConfigurationError,
            "the site asks for a login: it redirects to /login",
        ),
        (answer(307), FailureKind.INTERCEPTED, ConfigurationError, "redirects to nowhere"),
        (TransportError("refused", sent=False), FailureKind.UNREACHABLE, TransportError, "refused"),
        (TransportError("reset", sent=True), FailureKind.UNKNOWN, TransportError, "reset"),
        (NoToken("none for now"), FailureKind.NO_TOKEN, NoToken, "none for now"),
    ],
)
def test_the_table(
    came_back: Answer | TransportError, kind: FailureKind, error_type: type[Exception], words: str
) -> None:
    failure = classify(came_back)
    assert failure.kind is kind
    assert type(failure.error) is error_type
    assert words in str(failure.error)


def test_a_redirect_to_another_host_is_one_to_a_login() -> None:
    there = {"Location": "https://id.example.org/start"}
    failure = classify(Answer(302, there, b"", host="courses.example.org"))
    assert "asks for a login" in str(failure.error)
    failure = classify(Answer(302, there, b"", host="id.example.org"))
    assert "change the URL" in str(failure.error)


def test_a_page_with_status_200() -> None:
    failure = masked(answer(200, PAGE))
    assert failure is not None
    assert failure.kind is FailureKind.MASKED
    assert "('Bad Gateway')" in str(failure.error)
    assert masked(answer(200, b'{"cour', Content_Type="application/json")) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("soon", None), ("inf", None), ("nan", None)],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    assert classify(answer(429, Retry_After=header)).retry_after == seconds


def test_retry_after_as_a_date() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = classify(answer(429, Retry_After=then)).retry_after
    assert seconds is not None
    assert 10 < seconds <= 30


@pytest.mark.parametrize("off", [timedelta(hours=3), timedelta(days=-1)])
def test_retry_after_as_a_date_by_a_clock_that_is_off(off: timedelta) -> None:
    theirs = datetime(2026, 5, 9, 12, 0, tzinfo=UTC) + off
    then = format_datetime(theirs + timedelta(seconds=30), usegmt=True)
    date = format_datetime(theirs, usegmt=True)
    assert classify(answer(429, Retry_After=then, Date=date)).retry_after == 30


@pytest.mark.parametrize("zone", ["-0000", "GMT", "+0000"])
def test_dates_of_any_form(zone: str) -> None:
    then, date = f"Sat, 09 May 2026 12:00:30 {zone}", "Sat, 09 May 2026 12:00:00 GMT"
    assert classify(answer(429, Retry_After=then, Date=date)).retry_after == 30
    assert classify(answer(429, Retry_After=then, Date="soon")).retry_after is not None


def test_retry_after_of_a_site_under_maintenance() -> None:
    assert classify(answer(503, Retry_After="30")).retry_after == 30
    assert classify(answer(503, Retry_After="86400")).retry_after == 60


def test_no_retry_after() -> None:
    assert classify(answer(429)).retry_after is None


def test_the_platforms_words_are_shortened() -> None:
    body = b'{"identifiers": ["%b"]}' % (b"x" * 10_000)
    assert len(str(classify(answer(400, body)).error)) < 600


@pytest.mark.parametrize(
    ("came_back", "error_type"),
    [
        (answer(400, b'{"error": "invalid_grant"}'), AuthenticationError),
        (answer(401, b'{"error": "invalid_client"}'), AuthenticationError),
        (answer(403, b'{"error": "access_denied"}'), AuthenticationError),
        (answer(400, PAGE), PlatformError),
        (answer(401, PAGE), PlatformError),
        (answer(404, b'{"detail": "Not found."}'), PlatformError),
        (answer(405), PlatformError),
        (answer(200, PAGE), PlatformError),
        (answer(302), ConfigurationError),
        (answer(403, PAGE), NoToken),
        (answer(408), NoToken),
        (answer(429, b'{"detail": "slow"}'), NoToken),
        (answer(500, PAGE), NoToken),
        (answer(503, PAGE), NoToken),
        (TransportError("reset", sent=True), NoToken),
        (TransportError("refused", sent=False), TransportError),
    ],
)
def test_why_there_is_no_token(
    came_back: Answer | TransportError, error_type: type[Exception]
) -> None:
    assert type(no_token(came_back)) is error_type


def test_when_to_ask_for_a_token_again() -> None:
    for seconds, pause in (("7", 7), ("86400", 60)):
        failure = classify(no_token_error(answer(429, Retry_After=seconds)))
        assert (failure.kind, failure.retry_after) == (FailureKind.NO_TOKEN, pause)


def no_token_error(came_back: Answer) -> TransportError:
    error = no_token(came_back)
    assert isinstance(error, TransportError)
    return error
