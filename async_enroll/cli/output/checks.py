"""Evaluates what `doctor` found on a site, as a list of checks. No I/O.

Takes `Findings` from `commands.doctor` and gives one `Check` per line of its output.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from async_enroll.errors import (
    AuthenticationError,
    EnrollError,
    NoSuchEndpoint,
    PermissionDenied,
)
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import ListingKind, RequestWindow
from async_enroll.platform.bulk_enroll import BULK_ENROLL_FORMS
from async_enroll.platform.json import BulkAnswer

SLASHED, BARE = BULK_ENROLL_FORMS


class State(Enum):
    """Result of a check. The values are those of `--json`."""

    OK = "ok"
    FAILED = "failed"
    OPEN = "open"
    """Neither: it could not be checked, or is for information."""


@frozen
class Check:
    """One line of the output; `remedy` says how to fix a failure."""

    name: str
    state: State
    text: str
    remedy: str | None = None


_UNKNOWN = "unknown"
_NO_SUCH_KEY = "Course key not valid"
_PERMITTED = {FailureKind.MISSING, FailureKind.THROTTLED, FailureKind.UNDONE}
"""Failures that only a caller with permission gets."""


@frozen
class Findings:
    """The results of a few calls without effect.

    `preflight`: for `course_id`, or for a malformed course key if that is None. `scheme`: the
    authorization scheme of the token. `forms`: the forms of the bulk endpoint's path that exist.
    `since_2025`: whether the release is of 2025 or later, None if unknown. `kind`: the listing
    that was tried, "auto" if the site has none. `listing`: how that failed, None if it did not.
    """

    preflight: BulkAnswer | Failure
    scheme: str
    forms: tuple[str, ...]
    since_2025: bool | None
    kind: ListingKind
    listing: Failure | None
    course_id: str | None

    @property
    def failure(self) -> Failure | None:
        """How the preflight failed; None if it did not."""
        return self.preflight if isinstance(self.preflight, Failure) else None

    @property
    def since_2026(self) -> bool | None:
        """Whether results have the fields added in 2026; None if there are no results."""
        if isinstance(self.preflight, Failure):
            return None
        results = [one for course in self.preflight.courses.values() for one in course.results]
        return any(one.success is not None for one in results) if results else None


def evaluate(findings: Findings) -> list[Check]:
    """The checks, in the order in which to fix them."""
    preflight, listing = findings.failure, findings.listing
    checks = [
        _token(preflight, listing, findings.scheme),
        _staff(preflight),
        _bulk_endpoint(preflight, findings.forms),
        _release(findings),
        _listing_endpoint(findings.kind, listing),
        _throttle(preflight),
    ]
    if findings.course_id is not None:
        checks.append(_course(preflight, findings.course_id))
    return checks


def no_token(error: EnrollError) -> Check:
    """The check of a site that issued no token for a client ID and secret."""
    remedy = (
        "check the client ID and secret, and that the client's grant type is client "
        "credentials in the site's administration"
        if isinstance(error, AuthenticationError)
        else "check the URL; if the site has no OAuth2 token endpoint, set ASYNC_ENROLL_TOKEN"
    )
    return Check("token", State.FAILED, str(error), remedy)


def _reached(preflight: Failure | None) -> bool:
    """Whether the call reached the endpoint: token, permission and path are good."""
    if preflight is None or preflight.kind in _PERMITTED:
        return True
    return preflight.kind is FailureKind.REFUSED and _NO_SUCH_KEY in str(preflight.error)


def _denied(failure: Failure | None, kind: type[Exception]) -> bool:
    return failure is not None and isinstance(failure.error, kind)


def _token(preflight: Failure | None, listing: Failure | None, scheme: str) -> Check:
    for failure in (preflight, listing):
        if failure and isinstance(failure.error, AuthenticationError):
            remedy = "get a new token; note that --token-file overrides ASYNC_ENROLL_TOKEN"
            return Check("token", State.FAILED, str(failure.error), remedy)
    if listing is None or _reached(preflight) or _denied(preflight, PermissionDenied):
        jwt = scheme.upper() == "JWT"
        kind = "as JWT" if jwt else "as bearer token; the newest endpoints require JWT"
        return Check("token", State.OK, f"accepted {kind}")
    return Check("token", State.OPEN, _UNKNOWN)


def _staff(preflight: Failure | None) -> Check:
    if preflight and isinstance(preflight.error, PermissionDenied):
        remedy = "make the token's user global staff in the site's administration"
        return Check("staff", State.FAILED, str(preflight.error), remedy)
    if _reached(preflight):
        return Check("staff", State.OK, "the token's user is global staff")
    return Check("staff", State.OPEN, _UNKNOWN)


def _bulk_endpoint(preflight: Failure | None, forms: tuple[str, ...]) -> Check:
    name = "bulk endpoint"
    denied = _denied(preflight, AuthenticationError) or _denied(preflight, PermissionDenied)
    if preflight is None or denied or _reached(preflight):
        return Check(name, State.OK, _FORMS.get(forms, "available"))
    error = preflight.error
    if isinstance(error, NoSuchEndpoint):
        remedy = "ask the site's operators to enable ENABLE_BULK_ENROLLMENT_VIEW"
        return Check(name, State.FAILED, "not enabled on this site", remedy)
    return Check(name, State.FAILED, str(error), "check the URL; try again later")


_FORMS = {
    (SLASHED,): "available, with a trailing slash in its path",
    (BARE,): "available, without a trailing slash in its path",
    (SLASHED, BARE): "available, with and without a trailing slash in its path",
}


def _release(findings: Findings) -> Check:
    """The family of releases that answers so (observed with Open edX's code of four dates)."""
    release = {
        (SLASHED, BARE): "Open edX of 2020, or older",
        (SLASHED,): "MOOCit",
        (BARE,): "Open edX of 2022 to mid-2025",
    }.get(findings.forms)
    if findings.since_2025:
        when = {True: "2026, or newer", False: "late 2025", None: "late 2025, or newer"}
        release = f"Open edX of {when[findings.since_2026]}"
    if release is None or findings.since_2025 is None:
        return Check("release", State.OPEN, _UNKNOWN)
    return Check("release", State.OK, f"behaves like {release}")


_LISTINGS: dict[ListingKind, str] = {
    "so2": "MOOCit's reporting API",
    "core": "Open edX's enrollment list: no e-mail addresses, 100 records per call",
    "auto": "neither MOOCit's reporting API nor Open edX's enrollment list",
}


def _listing_endpoint(kind: ListingKind, listing: Failure | None) -> Check:
    name = "listing"
    if listing is None:
        return Check(name, State.OK, _LISTINGS[kind])
    error = listing.error
    if isinstance(error, NoSuchEndpoint):
        text = f"the site has {'' if kind == 'auto' else 'not '}{_LISTINGS[kind]}"
        remedy = (
            "check the URL; ask the site's operators to allow api/enrollment/v1/enrollments"
            if kind == "auto"
            else "use the other listing: omit --listing"
        )
        return Check(name, State.FAILED, text, remedy)
    if isinstance(error, AuthenticationError) or listing.kind is FailureKind.THROTTLED:
        return Check(name, State.OPEN, _UNKNOWN)
    return Check(name, State.FAILED, str(error), "ask the site's operators")


def _throttle(preflight: Failure | None) -> Check:
    window = RequestWindow()
    if preflight and preflight.kind is FailureKind.THROTTLED:
        wait = f"{preflight.retry_after:g} s" if preflight.retry_after is not None else "a while"
        text = f"throttled now: calls are retried after {wait}"
        return Check("throttle", State.OPEN, text)
    if _reached(preflight):
        text = f"not throttled now; calls are limited to {window.calls} in {window.seconds:g} s"
        return Check("throttle", State.OK, text)
    return Check("throttle", State.OPEN, _UNKNOWN)


def _course(preflight: Failure | None, course_id: str) -> Check:
    if preflight is None:
        return Check("course", State.OK, f"{course_id} exists")
    if preflight.kind in (FailureKind.MISSING, FailureKind.UNDONE, FailureKind.REFUSED):
        remedy = "copy the key from the course's URL; give the token's user access to the course"
        return Check("course", State.FAILED, f"{course_id}: {preflight.error}", remedy)
    return Check("course", State.OPEN, _UNKNOWN)
