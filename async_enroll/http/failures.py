"""Classification of failed calls: the only module that interprets HTTP status codes. Pure.

Takes the answer of `http.transport`, or its `TransportError`, and returns a `Failure`, on which
the modules of `platform` and `delivery` act.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import msgspec
from attrs import evolve, frozen

from async_enroll.errors import (
    AuthenticationError,
    ConfigurationError,
    EnrollError,
    NoSuchEndpoint,
    NoToken,
    PermissionDenied,
    PlatformError,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.http.answer import NOT_JSON, Answer


class FailureKind(Enum):
    """The effect of a failed call on the platform, as far as is known."""

    REFUSED = "refused"
    """Nothing was done, and nobody was mailed: the call itself is invalid."""
    MISSING = "missing"
    """One of the courses does not exist; all was rolled back, mail for others may have gone out."""
    UNDONE = "undone"
    """Failed while running, and all was rolled back; mail may have gone out."""
    THROTTLED = "throttled"
    """Nothing was done: too many requests; the call can be sent again later."""
    TOO_LARGE = "too_large"
    """Nothing was done: the body is larger than the site accepts."""
    INTERCEPTED = "intercepted"
    """Nothing was done: something in front of the platform answered in its place."""
    MASKED = "masked"
    """A page came in place of the answer: done, rolled back, or never received."""
    UNKNOWN = "unknown"
    """Done, rolled back, or still running."""
    UNREACHABLE = "unreachable"
    """Nothing was done: the request cannot have reached the platform."""
    NO_TOKEN = "no_token"  # noqa: S105  # a word
    """Nothing was done: the site answers, but issues no token for now."""
    UNAUTHORIZED = "unauthorized"
    """Nothing was done: the token is invalid or has expired."""
    FATAL = "fatal"
    """Nothing was done, and every other call of the job would fail likewise."""

    @property
    def may_have_mailed(self) -> bool:
        """Whether the platform may have sent the call's mail, which no rollback recalls."""
        return self in _MAY_HAVE_MAILED


_MAY_HAVE_MAILED = {
    FailureKind.MISSING,
    FailureKind.UNDONE,
    FailureKind.MASKED,
    FailureKind.UNKNOWN,
}


class Overload(Enum):
    """How a failure shows that the site is overloaded."""

    SLOW = "slow"
    """The call took longer than the client or a proxy waits: it carried too much."""
    BUSY = "busy"
    """The site accepts no more calls at once."""


@frozen
class Failure:
    """A failed call: its kind, and `error` with a message for users.

    `retry_after`: seconds to wait, None if the platform named none. `overload`: None if the
    failure is not due to load. `status`: the HTTP status, None if there was no answer.
    """

    kind: FailureKind
    error: EnrollError
    retry_after: float | None = None
    overload: Overload | None = None
    status: int | None = None


def classify(came_back: Answer | TransportError) -> Failure:
    """Classify an answer that is not `ok`, or the lack of one.

    Status codes as Open edX uses them: one call is one database transaction, so after an error
    status of the platform's own nothing has changed. A proxy's 502, 503 or 504 says nothing about
    the call. A page with status 3xx or 4xx is not the platform's: the call never reached it.
    """
    if isinstance(came_back, NoToken):
        return Failure(FailureKind.NO_TOKEN, came_back, came_back.retry_after)
    if isinstance(came_back, TransportError):
        kind = FailureKind.UNKNOWN if came_back.sent else FailureKind.UNREACHABLE
        return Failure(kind, came_back, overload=Overload.SLOW if came_back.timed_out else None)
    return evolve(_of_status(came_back), status=came_back.status)


def classify_listing(came_back: Answer) -> Failure:
    """As `classify`, for a listing not yet known to exist: a 404 means that it does not.

    An API gateway in front of a site sends that 404 as JSON.
    """
    failure = classify(came_back)
    if came_back.status != 404 or isinstance(failure.error, NoSuchEndpoint):
        return failure
    words = f"the site has no such endpoint: {failure.error}"
    return evolve(failure, error=NoSuchEndpoint(words, status=404))


def masked(came_back: Answer) -> Failure | None:
    """Classify a page that came with status 200, where the platform answers with JSON.

    None if it is no page, but an answer of the platform's that is truncated or malformed.
    """
    if "html" not in came_back.headers.get("Content-Type", "") and _title(came_back) is None:
        return None
    return Failure(FailureKind.MASKED, _rejected_in_front(came_back), status=came_back.status)


def _of_status(came_back: Answer) -> Failure:
    status, words = came_back.status, _message(came_back)
    retry_after = _retry_after(came_back.headers.get("Retry-After"), came_back.headers.get("Date"))
    match status:
        case 401:
            error = AuthenticationError(f"the token is not accepted: {words}")
            return Failure(FailureKind.UNAUTHORIZED, error)
        case 429:
            return Failure(FailureKind.THROTTLED, PlatformError(words, status=429), retry_after)
        case 500:
            return Failure(FailureKind.UNDONE, PlatformError(words, status=500))
        case _ if 300 <= status < 500:
            return _of_platform(came_back) if _is_json(came_back) else _of_page(came_back)
        case _ if status >= 500:
            lost = PlatformError(words, status=status)
            return Failure(
                FailureKind.UNKNOWN, lost, _bounded_pause(retry_after), _OVERLOADS.get(status)
            )
    return Failure(FailureKind.UNKNOWN, UnexpectedResponse(f"expected status 200, found {words}"))


def _of_platform(came_back: Answer) -> Failure:
    """Classify a JSON answer with status 3xx or 4xx, of the platform or an API gateway."""
    status, words = came_back.status, _message(came_back)
    match status:
        case 403 if _is_from_gateway(came_back):
            turned_away = PermissionDenied(f"a gateway in front of the site rejects this: {words}")
            return Failure(FailureKind.INTERCEPTED, turned_away)
        case 403:
            error = PermissionDenied(f"the token's user may not do this: {words}")
            return Failure(FailureKind.FATAL, error)
        case 404 if _is_from_gateway(came_back):
            missing = NoSuchEndpoint(f"the site has no such endpoint: {words}", status=404)
            return Failure(FailureKind.UNDONE, missing)
        case 404:
            return Failure(FailureKind.MISSING, PlatformError(words, status=404))
        case 400 | 406 | 415:  # checked before any learner is processed
            return Failure(FailureKind.REFUSED, PlatformError(words, status=status))
        case _:
            return Failure(FailureKind.UNDONE, PlatformError(words, status=status))


def _of_page(came_back: Answer) -> Failure:
    """Classify a page with status 3xx or 4xx in place of an answer."""
    match came_back.status:
        case 404:
            words = f"the site has no such endpoint: {_message(came_back)}"
            return Failure(FailureKind.INTERCEPTED, NoSuchEndpoint(words, status=404))
        case 413:
            return Failure(FailureKind.TOO_LARGE, PlatformError(_message(came_back), status=413))
        case 301 | 302 | 303 | 307 | 308:
            return Failure(FailureKind.INTERCEPTED, _redirected(came_back))
    error = _rejected_in_front(came_back)
    return Failure(FailureKind.INTERCEPTED, error, overload=_OVERLOADS.get(came_back.status))


def _is_from_gateway(came_back: Answer) -> bool:
    """Whether a JSON 403 or 404 lacks the keys with which the platform explains its errors."""
    value = _json(came_back)
    return value is not None and not (isinstance(value, dict) and value.keys() & _EXPLANATIONS)


# Keys of Django REST framework, and of Open edX's DeveloperErrorViewMixin.
_EXPLANATIONS = {"detail", "developer_message"}


def _rejected_in_front(came_back: Answer) -> PlatformError:
    title = _title(came_back)
    shown = f"status {came_back.status}" if title is None else repr(title)
    words = f"a firewall in front of the site rejects this call ({shown})"
    return PlatformError(words, status=came_back.status)


def gives_token(answer: Answer) -> bool:
    """Whether the token endpoint answered with status 200 and JSON, not with a page."""
    return answer.ok and _is_json(answer)


def no_token(came_back: Answer | TransportError) -> EnrollError:
    """The error for a failed request for a token.

    Status codes as RFC 6749 (5.2) and django-oauth-toolkit use them.
    """
    if isinstance(came_back, TransportError):
        words = f"no token: {came_back}"
        return NoToken(words) if came_back.sent else TransportError(words, sent=False)
    status, words = came_back.status, _message(came_back)
    match status:
        case 301 | 302 | 303 | 307 | 308:
            return _redirected(came_back)
        case 400 | 401 | 403 if _is_json(came_back):
            return AuthenticationError(
                f"the site does not accept the client id and secret: {words}"
            )
        # Open edX's rate limit on token requests answers with a 403 page (django-ratelimit).
        case _ if status in (403, 408, 429) or status >= 500:
            headers = came_back.headers
            seconds = _retry_after(headers.get("Retry-After"), headers.get("Date"))
            words = f"the site gives out no token for now: {words}"
            return NoToken(words, retry_after=_bounded_pause(seconds))
    return PlatformError(f"the site has no token endpoint: {words}", status=status)


def _json(answer: Answer) -> Any:
    try:
        return msgspec.json.decode(answer.body)
    except NOT_JSON:
        return None


def _is_json(answer: Answer) -> bool:
    """Whether the answer is JSON, if only by its header: the platform's, not its web server's."""
    return "json" in answer.headers.get("Content-Type", "") or _json(answer) is not None


_OVERLOADS = {408: Overload.SLOW, 503: Overload.BUSY, 504: Overload.SLOW}

# A site under maintenance may name hours, but the caller decides how long to wait.
_LONGEST_PAUSE = 60.0


def _bounded_pause(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, _LONGEST_PAUSE)


_TITLE = re.compile(rb"<title[^>]*>([^<]*)</title>", re.IGNORECASE)


def _message(answer: Answer) -> str:
    """The platform's own error message; if there is none, the status and the page's title."""
    value = _json(answer)
    if isinstance(value, dict) and value:
        said = "; ".join(_field_message(field, messages) for field, messages in value.items())
        return _shortened(said)
    title = _title(answer)
    return f"status {answer.status}" + (f", a page titled {title!r}" if title is not None else "")


def _title(answer: Answer) -> str | None:
    """The title of an answer that is a page; None for others."""
    found = _TITLE.search(answer.body[:65536])
    return _shortened(found[1].decode("utf-8", "replace").strip()) if found else None


def _field_message(field: str, messages: Any) -> str:
    said = (
        " ".join(str(message) for message in messages)
        if isinstance(messages, list)
        else str(messages)
    )
    return said if field in ("detail", "non_field_errors") else f"{field}: {said}"


def _shortened(words: str) -> str:
    return words if len(words) <= 500 else f"{words[:500]}…"


def _redirected(answer: Answer) -> ConfigurationError:
    location = answer.headers.get("Location", "nowhere")
    there = _shortened(location)
    if _LOGIN.search(location):
        return ConfigurationError(f"the site asks for a login: it redirects to {there}")
    if _is_other_host(location, answer.host):
        return ConfigurationError(
            f"the site asks for a login: it redirects to {there}; "
            "if it has moved, change the URL to where it is now"
        )
    return ConfigurationError(
        f"the site redirects to {there}, and calls do not follow: "
        "a redirect would turn the call into another one; change the URL to where it leads"
    )


_LOGIN = re.compile(r"log-?in\b|sign-?in\b|\bsso\b|\bsaml|/authorize\b|/cas/", re.IGNORECASE)


def _is_other_host(location: str, host: str | None) -> bool:
    try:
        there = urlsplit(location).hostname
    except ValueError:
        return False
    return None not in (there, host) and there != host


def _retry_after(header: str | None, date: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date (RFC 9110, 10.2.3).

    A date is compared with `date`, the answer's own: both are by the site's clock, from which
    ours may differ.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        then = _parse_date(header)
        if then is None:
            return None
        seconds = (then - (_parse_date(date) or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_date(text: str | None) -> datetime | None:
    """Parse an HTTP date; None if it is not one."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
