"""What the doctor makes of answers that the sandbox does not give."""

from typing import get_args

import pytest

from async_enroll import AuthenticationError, EnrollError, PlatformError
from async_enroll.cli.checks import State, no_token, verdicts
from async_enroll.models import ListingKind
from async_enroll.transport import Answer
from async_enroll.verdict import Failure, classify

REACHED = classify(Answer(400, {}, b'{"courses": ["Course key not valid: preflight"]}'))


def states(preflight: Failure | None, listing: Failure | None) -> dict[str, State]:
    return {check.name: check.state for check in verdicts(preflight, "so2", listing, None)}


@pytest.mark.parametrize("kind", get_args(ListingKind))
def test_a_listing_that_is_not_there(kind: ListingKind) -> None:
    missing = classify(Answer(404, {}, b"<title>Page not found</title>"))
    told = {check.name: check.state for check in verdicts(REACHED, kind, missing, None)}
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
    told = states(failure, failure)
    assert told["bulk endpoint"] is State.FAILED
    assert told["listing"] is State.FAILED
    assert told["token"] is told["staff"] is told["throttle"] is State.OPEN


def test_everything_that_failed_has_a_remedy() -> None:
    for status in (301, 400, 401, 403, 404, 500, 502):
        failure = classify(Answer(status, {}, b""))
        for check in verdicts(failure, "core", failure, "course-v1:Org+C1+2026"):
            assert (check.remedy is not None) == (check.state is State.FAILED), check


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (AuthenticationError("invalid_client"), "check the client's id and secret"),
        (PlatformError("no token endpoint", status=404), "set ASYNC_ENROLL_TOKEN"),
    ],
)
def test_no_token_has_a_remedy(error: EnrollError, remedy: str) -> None:
    check = no_token(error)
    assert (check.name, check.state, check.text) == ("token", State.FAILED, str(error))
    assert remedy in (check.remedy or "")
