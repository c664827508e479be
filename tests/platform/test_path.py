"""The two forms of the bulk endpoint's path: found out once, and never by a call with learners."""

import asyncio
from collections import Counter

import anyio
import msgspec
import pytest

from async_enroll import (
    ClientCredentials,
    EnrollmentClient,
    PlatformError,
    RequestWindow,
    RosterEntry,
)
from async_enroll.platform.bulk_enroll import BULK_ENROLL, BULK_ENROLL_FORMS
from async_enroll.sandbox import Platform
from tests.servers import answer, talking, whole_request

SLASHED, BARE = (f"/{form}" for form in BULK_ENROLL_FORMS)
RELEASES = ("moocit", "2020", "2022", "2025", "2026")
COURSE = "course-v1:Org+C0+2026"
PAGE = b"<html><title>Page not found</title></html>"


def site(release: str) -> Platform:
    platform = Platform(release=release, window=None)
    platform.add_course(COURSE)
    for number in range(10):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    return platform


@pytest.mark.parametrize("release", RELEASES)
async def test_calls_that_start_together_find_the_path_out_once(release: str) -> None:
    async with site(release) as platform:
        application = ClientCredentials(*platform.add_application())
        async with EnrollmentClient(platform.url, application) as client:
            async with anyio.create_task_group() as callers:
                for number in range(10):
                    callers.start_soon(client.bulk_enroll, [f"learner{number}"], [COURSE])
        paths = Counter(request.path for request in platform.requests if "bulk" in request.path)
        enrolled = sum(one.is_active for one in platform.enrollments)
    assert enrolled == 10
    if release in ("moocit", "2020"):
        assert paths == {SLASHED: 11}
    else:
        assert paths == {SLASHED: 1, BARE: 11}


@pytest.mark.parametrize("preflight", [None, True, False])
async def test_learners_travel_on_the_right_path_only(preflight: bool | None) -> None:
    sent: list[tuple[bytes, bool]] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await whole_request(reader)
            path = head.split()[1]
            sent.append((path, b"preflight@" not in body))
            if path.endswith(b"/"):
                writer.write(answer("404 Not Found", PAGE, kind="text/html"))
            else:
                state = dict.fromkeys(("user", "enrollment", "auto_enroll"), True)
                state["allowed"] = False
                results = [
                    {"identifier": identifier, "before": state, "after": state}
                    for identifier in msgspec.json.decode(body)["identifiers"].split(",")
                ]
                writer.write(
                    answer(
                        "200 OK", msgspec.json.encode({"courses": {COURSE: {"results": results}}})
                    )
                )
            await writer.drain()

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        for _ in range(2):
            report = await client.apply(
                [RosterEntry("jane", COURSE)], email_students=True, preflight=preflight
            )
            assert report.ok
    assert {path for path, with_learners in sent if with_learners} == {BARE.encode()}
    assert [path for path, _ in sent].count(SLASHED.encode()) == 1


async def test_an_endpoint_that_has_neither_path_is_named_before_anything_is_sent() -> None:
    async with Platform(bulk_enrollment_view=False) as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            with pytest.raises(PlatformError, match="no such endpoint"):
                await client.bulk_enroll(["jane"], [COURSE])
        assert [request.path for request in platform.requests] == [SLASHED, BARE]


async def test_a_path_that_changes_is_found_out_again() -> None:
    """As when a site is upgraded under a bot that runs for months."""
    routed = SLASHED.encode()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await whole_request(reader)
            if head.split()[1] != routed:
                writer.write(answer("404 Not Found", PAGE, kind="text/html"))
            elif b"preflight@" in body:
                writer.write(answer("200 OK", b'{"courses": {}}'))
            else:
                who = msgspec.json.decode(body)["identifiers"]
                result = {"identifier": who, "invalidIdentifier": True}
                writer.write(
                    answer(
                        "200 OK", msgspec.json.encode({"courses": {COURSE: {"results": [result]}}})
                    )
                )
            await writer.drain()

    async with talking(conversation) as url:
        window = RequestWindow(1000, 1)
        async with EnrollmentClient(url, "token", window=window, patience=1.0) as client:
            first = await client.bulk_enroll(["jane"], [COURSE])
            routed = BARE.encode()
            second = await client.bulk_enroll(["joe"], [COURSE])
    assert first.counts == second.counts
    assert BULK_ENROLL in BULK_ENROLL_FORMS
