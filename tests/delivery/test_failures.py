"""Calls that fail: a clear error where the job must stop, a result for every pair always."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from async_enroll import (
    AuthenticationError,
    BatchLimits,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    EnrollmentReport,
    EnrollmentResult,
    Outcome,
    PermissionDenied,
    PlatformError,
    RequestWindow,
    RosterEntry,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.sandbox import Fault, Faults, Platform
from tests.servers import answer, saying, talking, whole_request
from tests.sessions import takes_sessions

C0, C1 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(2)]
PAGE = b"<html><title>Bad Gateway</title></html>"
TWO_CALLS = [f"new{number}@example.org" for number in range(400)]


@asynccontextmanager
async def answering(*answers: bytes, calls: Iterator[int] | None = None) -> AsyncIterator[str]:
    """Give these answers to bulk calls in turn, then do as asked; b"" is a lost connection.

    There is no listing, and preflights go well. `calls` is advanced with each.
    """
    coming = iter(answers)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await whole_request(reader)
            next(calls or itertools.count())
            if head.startswith(b"GET"):
                said = answer("404 Not Found", PAGE, kind="text/html")
            elif b"preflight@" in body:
                said = answer("200 OK", b'{"courses": {}}')
            else:
                said = next(coming, done(msgspec.json.decode(body)["identifiers"].split(",")))
            writer.write(said)
            await writer.drain()
            if said in (b"", CUT):
                return

    async with talking(conversation) as url:
        yield url


def quick(url: str, **settings: Any) -> EnrollmentClient:
    return EnrollmentClient(url, "token", **{"settle": 0.1, "patience": 0.5, **settings})


async def enroll(url: str, identifiers: list[str]) -> EnrollmentReport:
    async with quick(url, concurrency=1) as client:
        return await client.bulk_enroll(identifiers, [C0], email_students=True)


def done(identifiers: list[str]) -> bytes:
    state = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": True}
    results = [
        {"identifier": identifier, "before": {**state, "enrollment": False}, "after": state}
        for identifier in identifiers
    ]
    return answer("200 OK", msgspec.json.encode({"courses": {C0: {"results": results}}}))


FIRST = done(TWO_CALLS[:200])
CUT = FIRST[:-9]


@pytest.mark.parametrize(
    ("said", "notified"),
    [
        (answer("400 Bad Request", b'{"x": ["bad"]}'), True),
        (answer("404 Not Found", b'{"detail": "Not found."}'), None),
        (answer("413 Too Large", PAGE, kind="text/html"), True),
        (answer("500 Server Error", PAGE), None),
        (answer("401 Unauthorized", b'{"detail": "no"}'), True),
        (answer("406 Not Acceptable", b'{"detail": "no"}'), True),
        (answer("415 Unsupported", b'{"detail": "no"}'), True),
        (answer("409 Conflict", b'{"detail": "no"}'), None),
        (answer("404 Not Found", b'{"message": "no Route matched"}'), None),
        (answer("301 Moved", b"", "Location: /x", kind="text/html"), True),
        (answer("302 Found", b"", "Location: https://login.example.org/", kind="text/html"), True),
        (answer("400 Bad Request", PAGE, kind="text/html"), True),
        (answer("403 Forbidden", PAGE, kind="text/html"), True),
        (answer("404 Not Found", PAGE, kind="text/html"), True),
        (answer("406 Not Acceptable", PAGE, kind="text/html"), True),
        (answer("408 Request Timeout", PAGE, kind="text/html"), True),
        (answer("429 Too Many", PAGE, "Retry-After: 0", kind="text/html"), True),
        (answer("502 Bad Gateway", PAGE), None),
        (answer("503 Unavailable", PAGE, "Retry-After: 0"), None),
        (answer("504 Timeout", PAGE), None),
        (answer("520 Unknown", PAGE), None),
        (b"", None),
        (CUT, None),
        (answer("200 OK", PAGE), None),
        (answer("200 OK", PAGE, kind="text/html"), None),
        (answer("200 OK", b'{"courses": {}}'), None),
        (answer("200 OK", b'{"courses": 3}'), None),
    ],
)
async def test_a_failure_that_passes_costs_nobody_their_place(
    said: bytes, notified: bool | None
) -> None:
    async with answering(said) as url:
        report = await enroll(url, TWO_CALLS)
    assert report.counts == {Outcome.ENROLLED: 400}
    told = {result.identifier: result for result in report.results}
    assert {told[identifier].notified for identifier in TWO_CALLS[:200]} == {notified}
    assert {told[identifier].notified for identifier in TWO_CALLS[200:]} == {True}


@pytest.mark.parametrize(
    "said", [answer("400 Bad Request", b'{"x": ["bad"]}'), answer("500 Server Error", PAGE)]
)
async def test_a_platform_that_fails_on_everybody_is_not_asked_about_each(said: bytes) -> None:
    calls = itertools.count()
    async with answering(*[said] * 1000, calls=calls) as url:
        report = await enroll(url, TWO_CALLS)
    assert report.counts == {Outcome.REJECTED: 400}
    assert next(calls) < 100


async def test_a_time_out_is_settled() -> None:
    async with Platform(faults=Faults.schedule({1: Fault.STALL_AFTER})) as platform:
        platform.add_course(C0)
        platform.add_user("jane", "jane@example.org")
        async with EnrollmentClient(
            platform.url, platform.token, timeout=0.2, settle=1.0
        ) as client:
            report = await client.bulk_enroll(["jane"], [C0])
        assert platform.is_enrolled("jane", C0)
    assert [(one.outcome, one.before) for one in report.results] == [(Outcome.ENROLLED, None)]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer("401 Unauthorized", b'{"detail": "Expired."}'), AuthenticationError, "Expired."),
        (answer("403 Forbidden", b'{"detail": "Staff only."}'), PermissionDenied, "Staff only."),
    ],
)
async def test_what_stops_the_job_carries_the_whole_account(
    said: bytes, kind: type[EnrollError], words: str
) -> None:
    identifiers = [*TWO_CALLS, "never@example.org", "not sendable"]
    async with answering(FIRST, said, said) as url:
        with pytest.raises(kind, match=words) as raised:
            await enroll(url, identifiers)
    report = raised.value.report
    assert report is not None
    assert report.counts == {
        Outcome.ENROLLED: 200,
        Outcome.REJECTED: 201,
        Outcome.INVALID_IDENTIFIER: 1,
    }
    told = {result.identifier: result for result in report.results}
    assert len(told) == len(identifiers)
    assert told["never@example.org"].attempts == 0
    assert (told["never@example.org"].error or "").startswith("not sent: ")
    assert {result.notified for result in report.failures} == {False}


async def test_a_host_that_nobody_serves() -> None:
    async with saying(b"") as url:
        pass
    with pytest.raises(TransportError, match="no connection") as raised:
        await enroll(url, ["jane"])
    assert raised.value.report is not None
    assert raised.value.report.counts == {Outcome.REJECTED: 1}


async def test_stream_gives_all_results_before_it_raises() -> None:
    results: list[EnrollmentResult] = []
    async with Platform(window=None) as platform:
        async with EnrollmentClient(
            platform.url, "wrong", batch=BatchLimits(identifiers=1)
        ) as client:
            roster = [RosterEntry(f"new{number}@example.org", C0) for number in range(30)]
            with pytest.raises(AuthenticationError):  # noqa: PT012  # at its end, not before
                async for result in client.stream(roster):
                    results.append(result)  # noqa: PERF401  # also what came before
        assert len(platform.requests) == 1  # the preflight
    assert len({result.identifier for result in results}) == 30


async def test_others_of_the_client_are_not_stopped_by_one_job(
    platform: Platform, client: EnrollmentClient
) -> None:
    report = await client.bulk_enroll(["learner1"], ["course-v1:No+Such+Course"])
    assert [result.outcome for result in report.results] == [Outcome.REJECTED]
    assert (await client.bulk_enroll(["learner1"], [C0])).ok


async def test_a_missing_course_is_left_out_and_nobody_is_mailed_twice(
    platform: Platform, client: EnrollmentClient
) -> None:
    missing = "course-v1:Org+Missing+2026"
    report = await client.apply(
        [RosterEntry("learner1", C0), RosterEntry("learner1", missing)],
        email_students=True,
        preflight=False,
    )
    good, bad = sorted(report.results, key=lambda result: result.course_id)
    assert (good.outcome, good.notified) == (Outcome.ENROLLED, True)
    assert (bad.outcome, bad.notified) == (Outcome.REJECTED, False)
    assert "does not exist" in (bad.error or "")
    assert platform.is_enrolled("learner1", C0)
    assert len(platform.outbox) == 1


async def test_an_unknown_cohort_is_refused_in_the_platforms_words(
    client: EnrollmentClient,
) -> None:
    report = await client.bulk_enroll(["learner1"], [C0], cohorts={C0: "green"})
    assert report.counts == {Outcome.REJECTED: 1}
    assert "cohort green not found" in (report.results[0].error or "")


THROTTLED = b'{"detail": "Request was throttled."}'


@pytest.mark.parametrize(
    "headers",
    [
        ("Retry-After: 0",),
        ("Retry-After: -5",),
        (),
        ("Date: Sat, 09 May 2026 12:00:00 GMT", "Retry-After: Sat, 09 May 2026 12:00:00 GMT"),
    ],
)
async def test_refusals_are_waited_out_however_many(headers: tuple[str, ...]) -> None:
    said = answer("429 Too Many Requests", THROTTLED, *headers)
    async with answering(*[said] * 20) as url:
        async with quick(url, window=RequestWindow(100, 0.1), patience=30) as client:
            report = await client.bulk_enroll(["jane"], [C0], email_students=True)
    assert report.counts == {Outcome.ENROLLED: 1}


async def test_refusals_without_end_stop_the_job() -> None:
    said = answer("429 Too Many Requests", THROTTLED, "Retry-After: 0")
    async with answering(*[said] * 1000) as url:
        async with quick(url, window=RequestWindow(100, 0.1)) as client:
            with pytest.raises(
                TransportError, match=r"refuses every call; patience is 0\.5 s"
            ) as raised:
                await client.bulk_enroll(["jane"], [C0], email_students=True)
    report = raised.value.report
    assert report
    assert [(one.outcome, one.notified) for one in report.results] == [(Outcome.REJECTED, False)]


@pytest.mark.parametrize("far", ["86400", "1000000000000", "Sat, 09 May 2099 12:00:00 GMT"])
async def test_a_site_that_asks_to_wait_beyond_patience_stops_the_job(far: str) -> None:
    said = answer("429 Too Many Requests", THROTTLED, f"Retry-After: {far}")
    calls = itertools.count()
    async with answering(said, calls=calls) as url:
        async with quick(url, patience=300) as client:
            for who in TWO_CALLS[:3]:
                with pytest.raises(TransportError, match=r"asks to wait for [\d,]+ s more"):
                    await client.bulk_enroll([who], [C0])
            with pytest.raises(TransportError, match="patience is 300 s"):
                _ = [one async for one in client.enrollments(course_id=C0)]
    assert next(calls) <= 2  # the preflight's answer, or the learner's, and nothing after it


async def test_a_refused_call_goes_again() -> None:
    refused = answer("429 Too Many Requests", b"{}", "Retry-After: 0")
    async with answering(refused, refused, done(["jane"])) as url:
        async with EnrollmentClient(url, "token", window=RequestWindow(100, 0.1)) as client:
            report = await client.bulk_enroll(["jane"], [C0])
    assert report.counts == {Outcome.ENROLLED: 1}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer("401 Unauthorized", b"{}"), AuthenticationError),
        (answer("403 Forbidden", b"{}"), PermissionDenied),
        (answer("404 Not Found", PAGE, kind="text/html"), PlatformError),
        (answer("404 Not Found", b'{"detail": "no"}'), PlatformError),
        (answer("502 Bad Gateway", PAGE), PlatformError),
        (answer("302 Found", b"", "Location: /login", kind="text/html"), ConfigurationError),
        (answer("200 OK", PAGE), UnexpectedResponse),
        (b"", TransportError),
    ],
)
async def test_a_listing_that_fails_is_an_error(said: bytes, kind: type[EnrollError]) -> None:
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        with pytest.raises(kind):
            await anext(client.enrollments())


async def test_a_closed_client_says_so(platform: Platform) -> None:
    client = EnrollmentClient(platform.url, platform.token)
    with pytest.raises(ConfigurationError, match="async with"):
        await client.bulk_enroll(["jane"], [C0])
    async with client:
        pass
    with pytest.raises(ConfigurationError, match="async with"):
        await anext(client.enrollments())


class Broken:
    """A source of tokens whose vault is shut."""

    async def authorization(self) -> str:
        raise LookupError("vault")

    async def renew(self) -> bool:
        raise LookupError("vault")


async def test_a_source_of_tokens_that_fails_stops_the_job(platform: Platform) -> None:
    async with EnrollmentClient(platform.url, Broken()) as client:
        with pytest.raises(AuthenticationError, match="LookupError") as raised:
            await client.bulk_enroll(["jane"], [C0])
        assert raised.value.__context__ is None  # nothing of what the vault says
        assert raised.value.report is not None
        assert raised.value.report.counts == {Outcome.REJECTED: 1}
        with pytest.raises(AuthenticationError):
            await anext(client.enrollments())


async def test_a_client_that_is_left_while_a_job_runs_gives_its_account() -> None:
    async with Platform(seconds_per_call=0.2) as platform:
        platform.add_course(C0)
        client = EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), settle=0.3
        )
        async with client:
            job = asyncio.ensure_future(client.bulk_enroll(TWO_CALLS[:20], [C0]))
            await asyncio.sleep(0.5)
        with pytest.raises(ConfigurationError, match="not open") as raised:
            await asyncio.wait_for(job, 5)
    report = raised.value.report
    assert report is not None
    assert sum(report.counts.values()) == 20


@takes_sessions
async def test_a_session_that_is_closed_under_a_job_stops_it(platform: Platform) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with EnrollmentClient(platform.url, platform.token, session=session) as client:
        with pytest.raises(
            ConfigurationError, match="that the client was given is closed"
        ) as raised:
            await client.bulk_enroll(["learner1"], [C0])
    assert raised.value.report is not None
    assert raised.value.report.counts == {Outcome.REJECTED: 1}


async def test_a_stream_whose_client_is_closed_does_not_seem_complete() -> None:
    async with Platform(seconds_per_call=0.05) as platform:
        platform.add_course(C0)
        client = EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=1
        )
        async with client:
            results = client.stream(RosterEntry(who, C0) for who in TWO_CALLS[:20])
            await anext(results)
        with pytest.raises(ConfigurationError, match="was closed"):
            [result async for result in results]


async def test_an_iterable_that_fails_leaves_the_report_so_far(client: EnrollmentClient) -> None:
    def failing() -> Iterator[str]:
        yield from [f"new{number}@example.org" for number in range(401)]
        raise LookupError("broken source")

    with pytest.raises(LookupError, match="broken source") as raised:
        await client.bulk_enroll(failing(), [C0])
    report = getattr(raised.value, "report", None)
    assert isinstance(report, EnrollmentReport)
    assert report.counts == {Outcome.ALLOWED: 400}
