"""What a few exchanges with a site tell about it. Pure."""

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
    """How a check ended; the values are what `--json` says."""

    OK = "ok"
    FAILED = "failed"
    OPEN = "open"
    """Neither: it could not be told, or is worth knowing."""


@frozen
class Check:
    """One line of the list; `remedy` says what to do about it."""

    name: str
    state: State
    text: str
    remedy: str | None = None


_UNTOLD = "could not be told"
_NO_SUCH_KEY = "Course key not valid"
_PERMITTED = {FailureKind.MISSING, FailureKind.THROTTLED, FailureKind.UNDONE}
"""What only a caller with permission is answered."""


@frozen
class Findings:
    """What a few harmless exchanges with a site have found.

    `preflight`: of `course_id`, or else of a malformed course key. `scheme`: what the token is
    sent as. `forms`: of the bulk endpoint's path, those that lead to it. `since_2025`: whether the
    release is of 2025 or later, None where that could not be told. `listing`: None where it
    answered as promised. `kind`: the listing's; "auto": the last of all.
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
        """How the preflight failed; None where it was answered as promised."""
        return self.preflight if isinstance(self.preflight, Failure) else None

    @property
    def since_2026(self) -> bool | None:
        """Whether results tell what they tell since 2026; None where there are none."""
        if isinstance(self.preflight, Failure):
            return None
        results = [one for course in self.preflight.courses.values() for one in course.results]
        return any(one.success is not None for one in results) if results else None


def verdicts(findings: Findings) -> list[Check]:
    """What these tell, in the order in which a reader mends it."""
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
    """What it tells that the site has given out no token for a client id and secret."""
    remedy = (
        "check the client's id and secret, and that its grant is client credentials, "
        "in the site's administration"
        if isinstance(error, AuthenticationError)
        else "check the URL; where the site does not sign in by OAuth2, set ASYNC_ENROLL_TOKEN"
    )
    return Check("token", State.FAILED, str(error), remedy)


def _reached(preflight: Failure | None) -> bool:
    """Whether the endpoint took the call up: token, permission and address were good."""
    if preflight is None or preflight.kind in _PERMITTED:
        return True
    return preflight.kind is FailureKind.REFUSED and _NO_SUCH_KEY in str(preflight.error)


def _denied(failure: Failure | None, kind: type[Exception]) -> bool:
    return failure is not None and isinstance(failure.error, kind)


def _token(preflight: Failure | None, listing: Failure | None, scheme: str) -> Check:
    for failure in (preflight, listing):
        if failure and isinstance(failure.error, AuthenticationError):
            remedy = "get a new one; the token file wins over ASYNC_ENROLL_TOKEN"
            return Check("token", State.FAILED, str(failure.error), remedy)
    if listing is None or _reached(preflight) or _denied(preflight, PermissionDenied):
        jwt = scheme.upper() == "JWT"
        kind = "as JWT" if jwt else "as bearer token; the newest endpoints take JWT alone"
        return Check("token", State.OK, f"accepted {kind}")
    return Check("token", State.OPEN, _UNTOLD)


def _staff(preflight: Failure | None) -> Check:
    if preflight and isinstance(preflight.error, PermissionDenied):
        remedy = "have the token's user made global staff in the site's administration"
        return Check("staff", State.FAILED, str(preflight.error), remedy)
    if _reached(preflight):
        return Check("staff", State.OK, "the token's user is global staff")
    return Check("staff", State.OPEN, _UNTOLD)


def _bulk_endpoint(preflight: Failure | None, forms: tuple[str, ...]) -> Check:
    name = "bulk endpoint"
    denied = _denied(preflight, AuthenticationError) or _denied(preflight, PermissionDenied)
    if preflight is None or denied or _reached(preflight):
        return Check(name, State.OK, _FORMS.get(forms, "is there"))
    error = preflight.error
    if isinstance(error, NoSuchEndpoint):
        remedy = "have the site's operators switch on ENABLE_BULK_ENROLLMENT_VIEW"
        return Check(name, State.FAILED, "is switched off on this site", remedy)
    return Check(name, State.FAILED, str(error), "check the URL; try again later")


_FORMS = {
    (SLASHED,): "is there, with a slash at the end of its path",
    (BARE,): "is there, without a slash at the end of its path",
    (SLASHED, BARE): "is there, with and without a slash at the end of its path",
}


def _release(findings: Findings) -> Check:
    """Which family of releases answers so (seen with Open edX's own code of four dates)."""
    told = {
        (SLASHED, BARE): "Open edX of 2020, or older",
        (SLASHED,): "MOOCit",
        (BARE,): "Open edX of 2022 to mid-2025",
    }.get(findings.forms)
    if findings.since_2025:
        when = {True: "2026, or newer", False: "late 2025", None: "late 2025, or newer"}
        told = f"Open edX of {when[findings.since_2026]}"
    if told is None or findings.since_2025 is None:
        return Check("release", State.OPEN, _UNTOLD)
    return Check("release", State.OK, f"answers as {told}")


_LISTINGS: dict[ListingKind, str] = {
    "so2": "MOOCit's reporting API",
    "core": "plain Open edX's own list: no addresses, and a hundred records a call of the window",
    "auto": "neither MOOCit's reporting API nor Open edX's own list",
}


def _listing_endpoint(kind: ListingKind, listing: Failure | None) -> Check:
    name = "listing"
    if listing is None:
        return Check(name, State.OK, _LISTINGS[kind])
    error = listing.error
    if isinstance(error, NoSuchEndpoint):
        text = f"the site has {'' if kind == 'auto' else 'not '}{_LISTINGS[kind]}"
        remedy = (
            "check the URL; have the site's operators let api/enrollment/v1/enrollments through"
            if kind == "auto"
            else "use the other one: leave --listing out"
        )
        return Check(name, State.FAILED, text, remedy)
    if isinstance(error, AuthenticationError) or listing.kind is FailureKind.THROTTLED:
        return Check(name, State.OPEN, _UNTOLD)
    return Check(name, State.FAILED, str(error), "ask the site's operators")


def _throttle(preflight: Failure | None) -> Check:
    window = RequestWindow()
    if preflight and preflight.kind is FailureKind.THROTTLED:
        wait = f"{preflight.retry_after:g} s" if preflight.retry_after is not None else "a while"
        text = f"the window is full: calls are refused for {wait}, and then sent again"
        return Check("throttle", State.OPEN, text)
    if _reached(preflight):
        text = f"no refusal now; {window.calls} calls in {window.seconds:g} s will be kept to"
        return Check("throttle", State.OK, text)
    return Check("throttle", State.OPEN, _UNTOLD)


def _course(preflight: Failure | None, course_id: str) -> Check:
    if preflight is None:
        return Check("course", State.OK, f"{course_id} exists")
    if preflight.kind in (FailureKind.MISSING, FailureKind.UNDONE, FailureKind.REFUSED):
        remedy = "copy the key from the course's address; have the token's user admitted to it"
        return Check("course", State.FAILED, f"{course_id}: {preflight.error}", remedy)
    return Check("course", State.OPEN, _UNTOLD)
