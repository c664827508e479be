"""`async-enroll doctor`: whether everything is in place."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated

import orjson
from cyclopts import Parameter
from rich.text import Text

from async_enroll.cli.console import OUT, printable, say
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.output.checks import Check, Findings, State, no_token, verdicts
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.errors import (
    ConfigurationError,
    EnrollError,
    NoSuchEndpoint,
    PermissionDenied,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.http.answer import Answer
from async_enroll.http.failures import Failure, FailureKind, classify
from async_enroll.http.transport import Transport
from async_enroll.models import NOBODY, Action, Batch, BatchLimits, ListingKind, RequestWindow
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.bulk_enroll import BULK_ENROLL_FORMS, BulkEnrollApi
from async_enroll.platform.core_listing import CORE_LIST
from async_enroll.platform.json import BulkAnswer, bulk_body, page
from async_enroll.platform.record_stream import ListingReader
from async_enroll.platform.so2_listing import REPORTING_LIST

EXAMPLES = """\
Nobody is enrolled, unenrolled or mailed by it.

Examples:
  async-enroll doctor
  async-enroll doctor --course-id course-v1:Org+C1+2026
  async-enroll doctor --json | jq '.[] | select(.state == "failed")'

Exit status: 0 nothing failed · 2 unusable URL or no token · 3 something failed"""

_NO_COURSE = "preflight"
_ROUTED = (FailureKind.REFUSED, FailureKind.THROTTLED, FailureKind.UNAUTHORIZED)
"""What the endpoint itself answers."""
_MARKS = {State.OK: ("✓", "green"), State.FAILED: ("✗", "red"), State.OPEN: ("-", "yellow")}


def doctor(
    *,
    course_id: Annotated[str | None, Parameter(metavar="KEY")] = None,
    json: Flag = False,
    connection: Connection = Connection(),
) -> ExitStatus:
    """Check that everything is in place; say how to mend what is not.

    Args:
        course_id: Check also that this course is there.
        json: Print the list as JSON.
        connection: Which site.

    """
    transport = connection.transport()
    checks = run(_examine, transport, connection.listing, course_id, not json)
    if json:
        listed = [_object(check) for check in checks]
        sys.stdout.write(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode() + "\n")
    failed = any(check.state is State.FAILED for check in checks)
    return ExitStatus.STOPPED if failed else ExitStatus.OK


async def _examine(
    transport: Transport, kind: ListingKind, course_id: str | None, aloud: bool
) -> list[Check]:
    checks: list[Check] = []
    async for check in _checks(transport, kind, course_id):
        checks.append(check)
        if aloud:
            _show(check)
    return checks


async def _checks(
    transport: Transport, kind: ListingKind, course_id: str | None
) -> AsyncGenerator[Check]:
    yield Check("URL", State.OK, str(transport.site))
    for check in _on_the_way(transport):
        yield check
    async with transport:
        answers = Check("connection", State.OK, f"{transport.site.host} answers")
        try:
            scheme = await _sign_in(transport)
            if not isinstance(scheme, str):
                yield answers
                yield no_token(scheme)
                return
            preflight = await _preflight(transport, course_id or _NO_COURSE)
            yield answers
            forms, since_2025 = await _release(transport)
            found, listing = await _listing(transport, kind)
        except (TransportError, ConfigurationError) as error:
            proxy = transport.proxy
            named = f"{proxy.variable}, " if proxy is not None and not proxy.skipped else ""
            remedy = f"check the URL, {named}the network, and whether the site is up"
            yield Check("connection", State.FAILED, str(error), remedy)
            return
    for check in verdicts(
        Findings(preflight, scheme, forms, since_2025, found, listing, course_id)
    ):
        yield check


def _on_the_way(transport: Transport) -> Iterator[Check]:
    """What the environment puts between here and the site."""
    proxy = transport.proxy
    if proxy is not None and proxy.skipped:
        yield Check("proxy", State.OPEN, f"none: {proxy}, and NO_PROXY exempts the site")
    elif proxy is not None:
        yield Check("proxy", State.OK, str(proxy))
    file = os.environ.get("SSL_CERT_FILE")
    if file and transport.site.scheme == "https":
        try:
            ssl.create_default_context(cafile=file)
        except OSError:
            text = f"SSL_CERT_FILE is set to {file}, where no certificates are"
            remedy = "name a file of certificates in PEM, or unset it"
            yield Check("certificates", State.FAILED, text, remedy)
        else:
            text = f"SSL_CERT_FILE is set to {file}: its authorities are trusted"
            yield Check("certificates", State.OK, text)


async def _sign_in(transport: Transport) -> str | EnrollError:
    """As what the token is sent; why the site gives out none, if it does not.

    Raises TransportError, and ConfigurationError where a proxy or the site's URL is at fault.
    """
    try:
        return await transport.sign_in()
    except (TransportError, ConfigurationError):
        raise
    except EnrollError as error:
        return error


async def _preflight(transport: Transport, course_id: str) -> BulkAnswer | Failure:
    """What comes of the call that jobs check a course with."""
    throttle = Throttle(RequestWindow(), concurrency=1, patience=1.0)
    api = BulkEnrollApi(transport, throttle, BatchLimits())
    async with throttle.permit() as permit:
        return await api.preflight(Batch(Action.ENROLL, (course_id,), (NOBODY,)), permit)


async def _release(transport: Transport) -> tuple[tuple[str, ...], bool | None]:
    """The forms of the path that lead to the endpoint; whether its release is of 2025 or later.

    The call cannot but fail, for its course. Since 2025 it fails for its reason, too.
    """
    forms, since_2025 = [], None
    batch = Batch(Action.ENROLL, (_NO_COURSE,), (NOBODY,))
    body = orjson.loads(bulk_body(batch, auto_enroll=False, email_students=True))
    impossible = orjson.dumps({**body, "reason": None})
    for form in BULK_ENROLL_FORMS:
        answer = await transport.call("POST", transport.site / form, impossible, fresh=True)
        failure = classify(answer)
        if failure.kind in _ROUTED or isinstance(failure.error, PermissionDenied):
            forms.append(form)
        if failure.kind is FailureKind.REFUSED:
            since_2025 = b'"reason"' in answer.body
    return tuple(forms), since_2025


async def _listing(transport: Transport, kind: ListingKind) -> tuple[ListingKind, Failure | None]:
    """What came of asking a listing, and which: "auto" where the site has neither."""
    if kind != "core":
        failure = await _reporting_list(transport)
        if kind == "so2" or not _is_missing(failure):
            return "so2", failure
    failure = await _core_list(transport)
    return ("auto" if kind == "auto" and _is_missing(failure) else "core"), failure


def _is_missing(failure: Failure | None) -> bool:
    return failure is not None and isinstance(failure.error, NoSuchEndpoint)


async def _reporting_list(transport: Transport) -> Failure | None:
    url = (transport.site / REPORTING_LIST).with_query(days="1")
    async with transport.stream(url) as came_back:
        if isinstance(came_back, Answer):
            return classify(came_back)
        # The first piece tells whether it is a listing at all; the rest need not come.
        try:
            async for piece in came_back:
                ListingReader().feed(piece)
                break
        except UnexpectedResponse as error:
            return Failure(FailureKind.UNKNOWN, error)
    return None


async def _core_list(transport: Transport) -> Failure | None:
    answer = await transport.call("GET", (transport.site / CORE_LIST).with_query(page_size="1"))
    if not answer.ok:
        return classify(answer)
    try:
        page(answer.body, start=0)
    except UnexpectedResponse as error:
        return Failure(FailureKind.UNKNOWN, error)
    return None


def _show(check: Check) -> None:
    mark, style = _MARKS[check.state]
    line = Text(f"{mark} ", style).append(f"{check.name:<14}", "bold")
    say(OUT, line.append(printable(check.text), ""))
    if check.remedy:
        say(OUT, Text(f"{'':<16}→ {check.remedy}"))


def _object(check: Check) -> dict[str, str | None]:
    return {
        "name": check.name,
        "state": check.state.value,
        "text": check.text,
        "remedy": check.remedy,
    }
