"""`async-enroll doctor`: check the connection, the credentials and the site.

Makes a few calls without effect and gives what they find to `output.checks`.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Self

import msgspec
from attrs import frozen
from cyclopts import Parameter
from rich.text import Text

from async_enroll.cli.console import OUT, printable, say
from async_enroll.cli.options.config_file import config_path
from async_enroll.cli.options.connection import Connection, of_profile
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.profiles import profiles
from async_enroll.cli.output.checks import Check, Findings, State, evaluate, no_token
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
from async_enroll.http.site import site_url
from async_enroll.http.tokens import Secret
from async_enroll.http.transport import Transport
from async_enroll.models import NOBODY, Action, Batch, BatchLimits, ListingKind, RequestWindow
from async_enroll.pacing.shared.store import StoreError
from async_enroll.pacing.shared.url import SharedWindowUrl, shared_window_url
from async_enroll.pacing.shared.window import probe
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.bulk_enroll import BULK_ENROLL_FORMS, BulkEnrollApi
from async_enroll.platform.core_listing import CORE_LIST
from async_enroll.platform.json import BulkAnswer, bulk_body, decoded, page
from async_enroll.platform.record_stream import ListingReader
from async_enroll.platform.so2_listing import REPORTING_LIST

EXAMPLES = """\
Does not enroll, unenroll or e-mail anybody.

Examples:
  async-enroll doctor
  async-enroll doctor --course-id course-v1:Org+C1+2026
  async-enroll doctor --json | jq '.[] | select(.state == "failed")'

Exit status:
  0  no check failed
  2  invalid configuration, or no credentials
  3  some checks failed"""

_NO_COURSE = "preflight"
_ROUTED = (FailureKind.REFUSED, FailureKind.THROTTLED, FailureKind.UNAUTHORIZED)
"""Failures that come from the endpoint itself."""
_MARKS = {State.OK: ("✓", "green"), State.FAILED: ("✗", "red"), State.OPEN: ("-", "yellow")}


def doctor(
    *,
    course_id: Annotated[str | None, Parameter(metavar="KEY")] = None,
    json: Flag = False,
    connection: Connection = Connection(),
) -> ExitStatus:
    """Check the connection, credentials and permissions, and say how to fix problems.

    Args:
        course_id: Also check that this course exists.
        json: Print the checks as JSON.
        connection: The site.

    """
    transport = connection.transport()
    window = _Window.of(connection.window_url("doctor"), is_default=not connection.shared_window)
    aloud = not json
    checks = _profiles(connection.profile)
    for check in checks if aloud else ():
        _show(check)
    checks += run(_examine, transport, connection.listing, course_id, window, aloud)
    if json:
        listed = [_object(check) for check in checks]
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(listed)).decode() + "\n")
    failed = any(check.state is State.FAILED for check in checks)
    return ExitStatus.STOPPED if failed else ExitStatus.OK


def _profiles(used: str | None) -> list[Check]:
    """Checks of the sites in the configuration file: the one in use, and the files of others."""
    checks = []
    for profile in profiles().values() if config_path().exists() else ():
        text = f"[site.{profile.name}] of {profile.path}"
        if profile.name == used:
            checks.append(Check("profile", State.OK, f"{text} is in use"))
            continue
        try:
            if profile.credentials:
                of_profile(profile)
            site_url(profile.url, allow_http=bool(profile.options.get("allow_http")))
        except ConfigurationError as error:
            remedy = f"correct it before you use --site {profile.name}"
            checks.append(Check("profile", State.FAILED, str(error), remedy))
        else:
            checks.append(Check("profile", State.OPEN, f"{text} is not in use"))
    return checks


@frozen
class _Window:
    """Where the request window is shared, None if it is not; whether that is the default."""

    url: SharedWindowUrl | None
    is_default: bool

    @classmethod
    def of(cls, url: str | None, *, is_default: bool) -> Self:
        """Parse the URL; raises ConfigurationError."""
        return cls(None if url is None else shared_window_url(Secret(url)), is_default)


async def _examine(
    transport: Transport, kind: ListingKind, course_id: str | None, window: _Window, aloud: bool
) -> list[Check]:
    checks: list[Check] = []
    async for check in _checks(transport, kind, course_id, window):
        checks.append(check)
        if aloud:
            _show(check)
    return checks


async def _checks(
    transport: Transport, kind: ListingKind, course_id: str | None, window: _Window
) -> AsyncGenerator[Check]:
    yield Check("URL", State.OK, str(transport.site))
    yield await _shared_window(window)
    for check in _on_the_way(transport):
        yield check
    async with transport:
        answers = Check("connection", State.OK, f"{transport.site.host} responds")
        try:
            scheme = await _sign_in(transport)
            if not isinstance(scheme, str):
                yield answers
                yield no_token(scheme)
                return
            preflight = await _preflight(transport, course_id or _NO_COURSE)
            forms, since_2025 = await _release(transport)
            found, listing = await _listing(transport, kind)
        except (TransportError, ConfigurationError) as error:
            proxy = transport.proxy
            named = f"{proxy.variable}, " if proxy is not None and not proxy.skipped else ""
            remedy = f"check the URL, {named}the network, and that the site is up"
            yield Check("connection", State.FAILED, str(error), remedy)
            return
    yield answers
    for check in evaluate(
        Findings(preflight, scheme, forms, since_2025, found, listing, course_id)
    ):
        yield check


async def _shared_window(window: _Window) -> Check:
    """Check that the processes with this token can share their request window."""
    name = "window"
    if window.url is None:
        return Check(name, State.OPEN, "shared with no other process: --shared-window is none")
    try:
        seconds = await probe(window.url.store(name="doctor"))
    except StoreError as error:
        state = State.OPEN if window.is_default else State.FAILED
        remedy = "check --shared-window; until it works, each process has a window of its own"
        return Check(name, state, f"not shared: {window.url.shown}: {error}", remedy)
    text = f"shared by way of {window.url.shown}, which answers in {1000 * seconds:.0f} ms"
    return Check(name, State.OK, text)


def _on_the_way(transport: Transport) -> Iterator[Check]:
    """Checks of the proxy and the certificate authorities that the environment sets."""
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
            text = f"SSL_CERT_FILE is {file}, which has no certificates"
            remedy = "set it to a file of certificates in PEM, or unset it"
            yield Check("certificates", State.FAILED, text, remedy)
        else:
            text = f"SSL_CERT_FILE is {file}; its authorities are trusted"
            yield Check("certificates", State.OK, text)


async def _sign_in(transport: Transport) -> str | EnrollError:
    """The authorization scheme of the token, or the error if the site issues none.

    Raises TransportError, and ConfigurationError if a proxy or the site's URL is invalid.
    """
    try:
        return await transport.sign_in()
    except (TransportError, ConfigurationError):
        raise
    except EnrollError as error:
        return error


async def _preflight(transport: Transport, course_id: str) -> BulkAnswer | Failure:
    """Make the call with which jobs check a course."""
    throttle = Throttle(RequestWindow(), concurrency=1, patience=1.0)
    api = BulkEnrollApi(transport, throttle, BatchLimits())
    with await throttle.permit() as permit:
        return await api.preflight(Batch(Action.ENROLL, (course_id,), (NOBODY,)), permit)


async def _release(transport: Transport) -> tuple[tuple[str, ...], bool | None]:
    """The forms of the endpoint's path that exist, and whether its release is of 2025 or later.

    The call always fails, because of its course. Since 2025 it fails because of its reason, too.
    """
    forms, since_2025 = [], None
    batch = Batch(Action.ENROLL, (_NO_COURSE,), (NOBODY,))
    body = msgspec.json.decode(bulk_body(batch, auto_enroll=False, email_students=True))
    impossible = msgspec.json.encode({**body, "reason": None})
    for form in BULK_ENROLL_FORMS:
        answer = await transport.call("POST", transport.site / form, impossible, fresh=True)
        failure = classify(answer)
        if failure.kind in _ROUTED or isinstance(failure.error, PermissionDenied):
            forms.append(form)
        if failure.kind is FailureKind.REFUSED:
            since_2025 = b'"reason"' in answer.body
    return tuple(forms), since_2025


async def _listing(transport: Transport, kind: ListingKind) -> tuple[ListingKind, Failure | None]:
    """The listing that was tried, and how it failed; "auto" if the site has none."""
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
        # The first piece shows whether it is a listing; the rest is not needed.
        try:
            async for piece in came_back:
                ListingReader(decoded).feed(piece)
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
