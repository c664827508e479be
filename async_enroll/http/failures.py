"""What an answer means for the call that it answers: the only reader of status codes.

Pure: it looks at what came back and decides; others act on that.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import orjson
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
from async_enroll.http.answer import Answer


class FailureKind(Enum):
    """What became of a call that failed, as far as can be told."""

    REFUSED = "refused"
    """Nothing was done, and nobody mailed: the call itself is at fault."""
    MISSING = "missing"
    """One of the courses does not exist; undone as a whole, mail for others may have gone."""
    UNDONE = "undone"
    """Failed on the way and undone as a whole; mail may have gone."""
    THROTTLED = "throttled"
    """Nothing was done; to be sent again later."""
    TOO_LARGE = "too_large"
    """Nothing was done: the body is larger than the site takes."""
    INTERCEPTED = "intercepted"
    """Nothing was done: something in front of the platform has answered in its place."""
    MASKED = "masked"
    """A page came in place of the answer: done, undone or never seen by the platform."""
    UNKNOWN = "unknown"
    """Done, undone or still running."""
    UNREACHABLE = "unreachable"
    """Nothing was done: the request cannot have reached the platform."""
    NO_TOKEN = "no_token"  # noqa: S105  # a word
    """Nothing was done: the site answers, but gives out no token for now."""
    UNAUTHORIZED = "unauthorized"
    """Nothing was done: the token is not accepted, or no longer."""
    FATAL = "fatal"
    """Nothing was done, and no other call of the job would fare better."""

    @property
    def may_have_mailed(self) -> bool:
        """Whether the platform may have sent the mails of such a call: no rollback recalls them."""
        return self in _MAY_HAVE_MAILED


_MAY_HAVE_MAILED = {
    FailureKind.MISSING,
    FailureKind.UNDONE,
    FailureKind.MASKED,
    FailureKind.UNKNOWN,
}


class Overload(Enum):
    """What a failure tells of the load that the site bears."""

    SLOW = "slow"
    """The call took longer than somebody on its way waits: it carried too much."""
    BUSY = "busy"
    """The site takes no more calls at once."""


@frozen
class Failure:
    """What became of a call that failed; `error` has it in words.

    `retry_after`: seconds to wait, None where the platform named none. `strain`: None where
    the failure is not for the load. `status`: the HTTP status, None where nothing was
    answered.
    """

    kind: FailureKind
    error: EnrollError
    retry_after: float | None = None
    overload: Overload | None = None
    status: int | None = None


def classify(came_back: Answer | TransportError) -> Failure:
    """Say what an answer that is not `ok`, or the lack of one, means for the call.

    Status codes as Open edX uses them: one call is one database transaction, so an
    error status of its own has changed nothing; a proxy's 502, 503 or 504 tells nothing. A
    page with a status of 3xx or 4xx is not the platform's: the call never reached it.
    """
    if isinstance(came_back, NoToken):
        return Failure(FailureKind.NO_TOKEN, came_back, came_back.retry_after)
    if isinstance(came_back, TransportError):
        kind = FailureKind.UNKNOWN if came_back.sent else FailureKind.UNREACHABLE
        return Failure(kind, came_back, overload=Overload.SLOW if came_back.timed_out else None)
    return evolve(_of_status(came_back), status=came_back.status)


def classify_listing(came_back: Answer) -> Failure:
    """As `classify`, for a listing that has not answered yet: a 404 means that there is none.

    An API gateway in front of a site says so in JSON.
    """
    failure = classify(came_back)
    if came_back.status != 404 or isinstance(failure.error, NoSuchEndpoint):
        return failure
    words = f"the site has no such endpoint: {failure.error}"
    return evolve(failure, error=NoSuchEndpoint(words, status=404))


def masked(came_back: Answer) -> Failure | None:
    """What it means that a page came with status 200 where the platform answers with JSON.

    None where it is no page, but an answer of the platform's that is cut or garbled.
    """
    if "html" not in came_back.headers.get("Content-Type", "") and _title(came_back) is None:
        return None
    return Failure(FailureKind.MASKED, _rejected_in_front(came_back), status=came_back.status)


def _of_status(came_back: Answer) -> Failure:
    status, words = came_back.status, _words(came_back)
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
            return Failure(FailureKind.UNKNOWN, lost, _pause(retry_after), _OVERLOADS.get(status))
    return Failure(FailureKind.UNKNOWN, UnexpectedResponse(f"expected status 200, found {words}"))


def _of_platform(came_back: Answer) -> Failure:
    """What a refusal in JSON means: of the platform's, or of an API gateway's."""
    status, words = came_back.status, _words(came_back)
    match status:
        case 403 if _is_of_gateway(came_back):
            turned_away = PermissionDenied(f"a gateway in front of the site rejects this: {words}")
            return Failure(FailureKind.INTERCEPTED, turned_away)
        case 403:
            error = PermissionDenied(f"the token's user may not do this: {words}")
            return Failure(FailureKind.FATAL, error)
        case 404 if _is_of_gateway(came_back):
            missing = NoSuchEndpoint(f"the site has no such endpoint: {words}", status=404)
            return Failure(FailureKind.UNDONE, missing)
        case 404:
            return Failure(FailureKind.MISSING, PlatformError(words, status=404))
        case 400 | 406 | 415:  # found out before any learner is looked at
            return Failure(FailureKind.REFUSED, PlatformError(words, status=status))
        case _:
            return Failure(FailureKind.UNDONE, PlatformError(words, status=status))


def _of_page(came_back: Answer) -> Failure:
    """What a page in place of an answer means, with a status of 3xx or 4xx."""
    match came_back.status:
        case 404:
            words = f"the site has no such endpoint: {_words(came_back)}"
            return Failure(FailureKind.INTERCEPTED, NoSuchEndpoint(words, status=404))
        case 413:
            return Failure(FailureKind.TOO_LARGE, PlatformError(_words(came_back), status=413))
        case 301 | 302 | 303 | 307 | 308:
            return Failure(FailureKind.INTERCEPTED, _redirected(came_back))
    error = _rejected_in_front(came_back)
    return Failure(FailureKind.INTERCEPTED, error, overload=_OVERLOADS.get(came_back.status))


def _is_of_gateway(came_back: Answer) -> bool:
    """Whether a 403 or 404 in JSON is not the platform's, which explains itself in its own way."""
    value = _json(came_back)
    return value is not None and not (isinstance(value, dict) and value.keys() & _EXPLANATIONS)


# Of Django REST framework, and of Open edX's views that wrap it (DeveloperErrorViewMixin).
_EXPLANATIONS = {"detail", "developer_message"}


def _rejected_in_front(came_back: Answer) -> PlatformError:
    title = _title(came_back)
    shown = f"status {came_back.status}" if title is None else repr(title)
    words = f"a firewall in front of the site rejects this call ({shown})"
    return PlatformError(words, status=came_back.status)


def gives_token(answer: Answer) -> bool:
    """Whether the token endpoint says that it gives a token, and not a page in its place."""
    return answer.ok and _is_json(answer)


def no_token(came_back: Answer | TransportError) -> EnrollError:
    """Why there is no token, from what else came back when the site was asked for one.

    Status codes as RFC 6749 (5.2) and django-oauth-toolkit use them.
    """
    if isinstance(came_back, TransportError):
        words = f"no token: {came_back}"
        return NoToken(words) if came_back.sent else TransportError(words, sent=False)
    status, words = came_back.status, _words(came_back)
    match status:
        case 301 | 302 | 303 | 307 | 308:
            return _redirected(came_back)
        case 400 | 401 | 403 if _is_json(came_back):
            return AuthenticationError(
                f"the site does not accept the client id and secret: {words}"
            )
        # Open edX's limit on requests for tokens shows as a 403 page (django-ratelimit).
        case _ if status in (403, 408, 429) or status >= 500:
            headers = came_back.headers
            seconds = _retry_after(headers.get("Retry-After"), headers.get("Date"))
            words = f"the site gives out no token for now: {words}"
            return NoToken(words, retry_after=_pause(seconds))
    return PlatformError(f"the site has no token endpoint: {words}", status=status)


def _json(answer: Answer) -> Any:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None


def _is_json(answer: Answer) -> bool:
    """Whether the platform itself has answered, be it garbled, and not its web server."""
    return "json" in answer.headers.get("Content-Type", "") or _json(answer) is not None


_OVERLOADS = {408: Overload.SLOW, 503: Overload.BUSY, 504: Overload.SLOW}

# A site under maintenance may name hours; how long to wait for it is the caller's to say.
_LONGEST_PAUSE = 60.0


def _pause(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, _LONGEST_PAUSE)


_TITLE = re.compile(rb"<title[^>]*>([^<]*)</title>", re.IGNORECASE)


def _words(answer: Answer) -> str:
    """The platform's own words where it has some, else the status and what came with it."""
    value = _json(answer)
    if isinstance(value, dict) and value:
        said = "; ".join(_field_words(field, messages) for field, messages in value.items())
        return _shortened(said)
    title = _title(answer)
    return f"status {answer.status}" + (f", a page titled {title!r}" if title is not None else "")


def _title(answer: Answer) -> str | None:
    """The title of the page that an answer is."""
    found = _TITLE.search(answer.body[:65536])
    return _shortened(found[1].decode("utf-8", "replace").strip()) if found else None


def _field_words(field: str, messages: Any) -> str:
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
    if _leads_elsewhere(location, answer.host):
        return ConfigurationError(
            f"the site asks for a login: it redirects to {there}; "
            "if it has moved, change the URL to where it is now"
        )
    return ConfigurationError(
        f"the site redirects to {there}, and calls do not follow: "
        "a redirect would turn the call into another one; change the URL to where it leads"
    )


_LOGIN = re.compile(r"log-?in\b|sign-?in\b|\bsso\b|\bsaml|/authorize\b|/cas/", re.IGNORECASE)


def _leads_elsewhere(location: str, host: str | None) -> bool:
    try:
        there = urlsplit(location).hostname
    except ValueError:
        return False
    return None not in (there, host) and there != host


def _retry_after(header: str | None, date: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header, a number or a date (RFC 9110, 10.2.3).

    A date is by the site's clock, and so is the answer's own `date`; ours may differ.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        then = _moment(header)
        if then is None:
            return None
        seconds = (then - (_moment(date) or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _moment(text: str | None) -> datetime | None:
    """The moment that an HTTP date names, None where it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
