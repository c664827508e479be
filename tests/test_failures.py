"""Calls that fail: a clear error where the job must stop, a result for every pair always."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
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
from async_enroll.sandbox import Platform
from tests.servers import answer, request, saying, talking

C0, C1 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(2)]
TWO_CALLS = [f"new{number}@example.org" for number in range(400)]


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """Serve one answer after the other, the last for ever; b"" is a lost connection."""
    coming = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            said = next(coming)
            writer.write(said)
            await writer.drain()
            if not said:
                return

    async with talking(conversation) as url:
        yield url


async def enroll(url: str, identifiers: list[str], **settings: float) -> EnrollmentReport:
    async with EnrollmentClient(url, "token", concurrency=1, **settings) as client:  # type: ignore[arg-type]  # numbers only
        return await client.bulk_enroll(identifiers, [C0], email_students=True)


def done(identifiers: list[str]) -> bytes:
    state = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": True}
    results = [
        {"identifier": identifier, "before": {**state, "enrollment": False}, "after": state}
        for identifier in identifiers
    ]
    return answer("200 OK", orjson.dumps({"courses": {C0: {"results": results}}}))


FIRST = done(TWO_CALLS[:200])
PAGE = b"<html><title>Bad Gateway</title></html>"


@pytest.mark.parametrize(
    ("said", "outcome", "notified", "words"),
    [
        (answer("400 Bad Request", b'{"x": ["bad"]}'), Outcome.REJECTED, False, "x: bad"),
        (answer("404 Not Found", b'{"detail": "Not found."}'), Outcome.REJECTED, False, C0),
        (answer("413 Too Large", PAGE), Outcome.REJECTED, False, "status 413"),
        (answer("500 Server Error", PAGE), Outcome.REJECTED, None, "status 500"),
        (answer("502 Bad Gateway", PAGE), Outcome.UNCONFIRMED, None, "Bad Gateway"),
        (answer("503 Unavailable", PAGE), Outcome.UNCONFIRMED, None, "status 503"),
        (answer("504 Timeout", PAGE), Outcome.UNCONFIRMED, None, "status 504"),
        (b"", Outcome.UNCONFIRMED, None, "without an answer"),
        (answer("200 OK", PAGE), Outcome.UNCONFIRMED, None, "not JSON"),
        (answer("200 OK", b'{"courses": {}}'), Outcome.UNCONFIRMED, None, "does not mention"),
        (answer("200 OK", b'{"courses": 3}'), Outcome.UNCONFIRMED, None, "courses: expected"),
    ],
)
async def test_a_batch_that_fails_becomes_results_and_the_others_go_on(
    said: bytes, outcome: Outcome, notified: bool | None, words: str
) -> None:
    async with answering(said, done(TWO_CALLS[200:])) as url:
        report = await enroll(url, TWO_CALLS)
    assert report.counts == {outcome: 200, Outcome.ENROLLED: 200}
    for result in report.failures:
        assert result.notified is notified
        assert words in (result.error or "")
    assert {result.identifier for result in report.failures} == set(TWO_CALLS[:200])


async def test_a_cut_answer_is_unconfirmed() -> None:
    async with saying(FIRST[:-9]) as url:
        report = await enroll(url, TWO_CALLS[:200])
    assert report.counts == {Outcome.UNCONFIRMED: 200}


async def test_a_time_out_is_unconfirmed() -> None:
    async with Platform(seconds_per_call=0.5) as platform:
        platform.add_course(C0)
        async with EnrollmentClient(platform.url, platform.token, timeout=0.2) as client:
            report = await client.bulk_enroll(["new@example.org"], [C0])
    assert report.counts == {Outcome.UNCONFIRMED: 1}
    assert "within 0.2 s" in (report.results[0].error or "")


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer("401 Unauthorized", b'{"detail": "Expired."}'), AuthenticationError, "Expired."),
        (answer("403 Forbidden", b'{"detail": "Staff only."}'), PermissionDenied, "Staff only."),
        (answer("404 Not Found", PAGE), PlatformError, "no such endpoint"),
        (
            answer("301 Moved", b"", "Location: https://new.example.org/x"),
            ConfigurationError,
            "change the URL",
        ),
    ],
)
async def test_what_stops_the_job_carries_the_whole_account(
    said: bytes, kind: type[EnrollError], words: str
) -> None:
    identifiers = [*TWO_CALLS, "never@example.org", "not sendable"]
    async with answering(FIRST, said) as url:
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
    assert told[TWO_CALLS[200]].attempts == 1
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
        assert len(platform.requests) <= 8  # those in flight together, and no more
    assert len({result.identifier for result in results}) == 30


async def test_others_of_the_client_are_not_stopped_by_one_job(
    platform: Platform, client: EnrollmentClient
) -> None:
    report = await client.bulk_enroll(["learner1"], ["course-v1:No+Such+Course"])
    assert [result.outcome for result in report.results] == [Outcome.REJECTED]
    assert (await client.bulk_enroll(["learner1"], [C0])).ok


async def test_a_missing_course_undoes_its_call_and_nothing_is_claimed(
    platform: Platform, client: EnrollmentClient
) -> None:
    missing = "course-v1:Org+Missing+2026"  # behind the other: courses go in order
    report = await client.bulk_enroll(["learner1"], [C0, missing], email_students=True)
    assert report.counts == {Outcome.REJECTED: 2}
    assert not platform.is_enrolled("learner1", C0)
    assert len(platform.outbox) == 1  # the platform has told the learner already
    assert {result.notified for result in report.results} == {None}
    assert missing in (report.results[0].error or "")


async def test_an_unknown_cohort_is_refused_in_the_platforms_words(
    client: EnrollmentClient,
) -> None:
    report = await client.bulk_enroll(["learner1"], [C0], cohorts={C0: "green"})
    assert report.counts == {Outcome.REJECTED: 1}
    assert "cohort green not found" in (report.results[0].error or "")


async def test_refusals_without_end_are_given_up() -> None:
    said = answer("429 Too Many Requests", b'{"detail": "slow down"}', "Retry-After: 0")
    window = RequestWindow(100, 0.1)
    async with answering(said) as url:
        async with EnrollmentClient(url, "token", window=window) as client:
            report = await client.bulk_enroll(["jane"], [C0], email_students=True)
    (result,) = report.results
    assert (result.outcome, result.notified) == (Outcome.REJECTED, False)
    assert "slow down" in (result.error or "")


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
        (answer("404 Not Found", PAGE), PlatformError),
        (answer("404 Not Found", b'{"detail": "no"}'), PlatformError),
        (answer("502 Bad Gateway", PAGE), PlatformError),
        (answer("302 Found", b"", "Location: /login"), ConfigurationError),
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
