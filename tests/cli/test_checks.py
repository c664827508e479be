"""What the doctor makes of answers that the sandbox does not give."""

from typing import Any, get_args

import pytest

from async_enroll import AuthenticationError, EnrollError, PlatformError
from async_enroll.cli.output.checks import BARE, SLASHED, Findings, State, evaluate, no_token
from async_enroll.http.answer import Answer
from async_enroll.http.failures import Failure, classify
from async_enroll.models import ListingKind
from async_enroll.platform.json import BulkAnswer, bulk_answer

COURSE = "course-v1:Org+C1+2026"
REACHED = classify(Answer(400, {}, b'{"courses": ["Course key not valid: preflight"]}'))


PREFLIGHTED = bulk_answer(b'{"courses": {"C": {"results": [{"identifier": "preflight@"}]}}}')
AS_OF_2026 = bulk_answer(
    b'{"courses": {"C": {"results": [{"identifier": "preflight@", "success": false}]}}}'
)


def findings(preflight: BulkAnswer | Failure = REACHED, **found: Any) -> Findings:
    defaults = {
        "scheme": "JWT",
        "forms": (SLASHED,),
        "since_2025": False,
        "kind": "so2",
        "listing": None,
        "course_id": None,
    }
    return Findings(preflight, **{**defaults, **found})


def states(found: Findings) -> dict[str, State]:
    return {check.name: check.state for check in evaluate(found)}


def words(found: Findings, name: str) -> str:
    return next(check.text for check in evaluate(found) if check.name == name)


@pytest.mark.parametrize("kind", get_args(ListingKind))
def test_a_listing_that_is_not_there(kind: ListingKind) -> None:
    missing = classify(Answer(404, {}, b"<title>Page not found</title>"))
    told = states(findings(kind=kind, listing=missing))
    assert told.pop("listing") is State.FAILED
    assert set(told.values()) == {State.OK}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, {}, b"<title>The plain HTTP request was sent to HTTPS port</title>"),
        Answer(502, {}, b"<title>Bad Gateway</title>"),
        Answer(301, {"Location": "https://example.org/"}, b""),
    ],
)
def test_what_is_not_the_endpoint_proves_nothing(answer: Answer) -> None:
    failure = classify(answer)
    told = states(findings(failure, listing=failure, forms=(), since_2025=None))
    assert told["bulk endpoint"] is State.FAILED
    assert told["listing"] is State.FAILED
    assert told["token"] is told["staff"] is told["throttle"] is told["release"] is State.OPEN


def test_everything_that_failed_has_a_remedy() -> None:
    for status in (301, 400, 401, 403, 404, 500, 502):
        failure = classify(Answer(status, {}, b""))
        for check in evaluate(findings(failure, kind="core", listing=failure, course_id=COURSE)):
            assert (check.remedy is not None) == (check.state is State.FAILED), check


@pytest.mark.parametrize(
    ("forms", "preflight", "since_2025", "release"),
    [
        ((SLASHED,), REACHED, False, "behaves like MOOCit"),
        ((SLASHED, BARE), REACHED, False, "behaves like Open edX of 2020, or older"),
        ((BARE,), PREFLIGHTED, False, "behaves like Open edX of 2022 to mid-2025"),
        ((BARE,), REACHED, True, "behaves like Open edX of late 2025, or newer"),
        ((SLASHED,), PREFLIGHTED, True, "behaves like Open edX of late 2025"),
        ((BARE,), AS_OF_2026, True, "behaves like Open edX of 2026, or newer"),
        ((BARE,), REACHED, None, "unknown"),
        ((), REACHED, None, "unknown"),
    ],
)
def test_releases(
    forms: tuple[str, ...], preflight: BulkAnswer | Failure, since_2025: bool, release: str
) -> None:
    found = findings(preflight, forms=forms, since_2025=since_2025)
    assert words(found, "release") == release
    slash = {(): "available", (SLASHED,): "with a", (BARE,): "without a"}.get(forms, "with and")
    assert slash in words(found, "bulk endpoint")


def test_kinds_of_token() -> None:
    assert words(findings(scheme="jwt"), "token") == "accepted as JWT"
    assert "require JWT" in words(findings(scheme="Bearer"), "token")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (AuthenticationError("invalid_client"), "check the client ID and secret"),
        (PlatformError("no token endpoint", status=404), "set ASYNC_ENROLL_TOKEN"),
    ],
)
def test_no_token_has_a_remedy(error: EnrollError, remedy: str) -> None:
    check = no_token(error)
    assert (check.name, check.state, check.text) == ("token", State.FAILED, str(error))
    assert remedy in (check.remedy or "")
