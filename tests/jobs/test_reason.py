"""The reason of a job: on its way to the platform, in the journal, and refused in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import category

import aiohttp
import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import (
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    JobStopped,
    RosterEntry,
)
from async_enroll.journal import JournalReport
from async_enroll.models import checked_reason
from async_enroll.sandbox import Platform
from tests.sessions import takes_sessions

C0 = "course-v1:Org+C0+2026"
ROSTER = [RosterEntry(f"new{number}@example.org", C0) for number in range(6)]
REASON = 'moved by the registrar: "autumn", été'

pytestmark = takes_sessions  # through one, they hear what is sent


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with Platform(window=None) as platform:
        platform.add_course(C0)
        yield platform


@asynccontextmanager
async def overheard(platform: Platform) -> AsyncIterator[tuple[EnrollmentClient, list[Any]]]:
    """A client of two pairs a call, and the bodies of its calls as they were sent."""
    sent: list[Any] = []

    async def hear(_: object, __: SimpleNamespace, chunk: Any) -> None:
        sent.append(msgspec.json.decode(chunk.chunk))

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(hear)
    async with (
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        EnrollmentClient(
            platform.url,
            platform.token,
            batch=BatchLimits(pairs=2),
            concurrency=1,
            session=session,
        ) as client,
    ):
        yield client, sent


def reasons(sent: list[Any]) -> list[str | None]:
    """The reasons of the calls that carry learners; calls without effect have none."""
    assert all("reason" not in call for call in sent if call["identifiers"] == "preflight@")
    return [call.get("reason") for call in sent if call["identifiers"] != "preflight@"]


async def test_every_call_that_carries_learners_has_it(site: Platform) -> None:
    async with overheard(site) as (client, sent):
        await client.bulk_enroll(["jane@example.org"], [C0], reason=f" {REASON}\n")
        await client.bulk_unenroll(["jane@example.org"], [C0], reason=REASON)
        await client.apply(ROSTER, reason=REASON)
        async for _ in client.stream(ROSTER, reason=REASON):
            pass
    assert reasons(sent) == [REASON] * 8


async def test_without_one_nothing_is_sent_of_it(site: Platform) -> None:
    async with overheard(site) as (client, sent):
        await client.apply(ROSTER)
    assert all("reason" not in call for call in sent)


async def test_the_journal_keeps_it_and_a_resumed_job_goes_on_with_it(
    site: Platform, tmp_path: Path
) -> None:
    journal = tmp_path / "job.db"
    async with overheard(site) as (client, sent):
        stop = anyio.Event()
        results = client.stream(ROSTER, reason=REASON, journal=journal, stop=stop)
        with suppress(JobStopped):
            async for _ in results:
                stop.set()
        before = len(reasons(sent))
        assert before < 3
        async for _ in client.resume(journal):
            pass
        assert reasons(sent) == [REASON] * 3
        with JournalReport(journal) as report:
            assert report.description.reason == REASON


async def test_with_another_reason_it_is_another_job(site: Platform, tmp_path: Path) -> None:
    journal = tmp_path / "job.db"
    async with overheard(site) as (client, sent):
        await client.apply(ROSTER, reason=REASON, journal=journal)
        calls = len(sent)
        for other in (None, "something else"):
            with pytest.raises(ConfigurationError, match="belongs to another job"):
                await client.apply(ROSTER, reason=other, journal=journal)
        await client.apply(ROSTER, reason=f"{REASON} ", journal=journal)
        assert len(sent) == calls


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("x" * 256, "reason has 256 characters; expected text of up to 255 characters"),
        ("a\0b", "reason holds a NUL character; expected"),
        ("a\ud800", "reason holds half a character; expected"),
        (" \n", "reason is blank; expected text of up to 255 characters, or none at all"),
        ("", "reason is blank; expected"),
        (7, "reason is a int; expected text"),
    ],
)
async def test_what_the_platform_could_not_keep_is_refused_before_anything_is_sent(
    site: Platform, reason: Any, words: str
) -> None:
    async with overheard(site) as (client, sent):
        for job in (
            client.bulk_enroll(["jane@example.org"], [C0], reason=reason),
            client.bulk_unenroll(["jane@example.org"], [C0], reason=reason),
            client.apply(ROSTER, reason=reason),
            anext(client.stream(ROSTER, reason=reason)),
        ):
            with pytest.raises(ConfigurationError, match=words):
                await job
        assert sent == []


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_what_is_not_refused_can_be_sent(reason: str) -> None:
    try:
        kept = checked_reason(reason)
    except ConfigurationError:
        kept = reason.strip()
        half = any(category(character) == "Cs" for character in kept)
        assert half or "\0" in kept or not 0 < len(kept) <= 255
    else:
        assert kept is not None
        assert kept == reason.strip()
        assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
