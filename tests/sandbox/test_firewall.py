"""What stands in front of the sandbox, if it is asked to."""

import asyncio

import aiohttp
import pytest

from async_enroll import EnrollmentClient, Outcome, RequestWindow
from async_enroll.sandbox import Fault, Faults, Platform

COURSE = "course-v1:Org+C0+2026"
LEARNERS = [f"new{number}@example.org" for number in range(40)]
URL = "api/bulk_enroll/v1/bulk_enroll/"


@pytest.mark.parametrize(
    ("fault", "status", "kind", "text"),
    [
        (Fault.FIREWALL_PAGE, 403, "text/html", "Request Rejected"),
        (Fault.FIREWALL_PAGE_200, 200, "text/html", "Request Rejected"),
        (Fault.LOGIN_REDIRECT, 302, "text/html", ""),
        (Fault.GATEWAY_JSON, 404, "application/json", "no Route matched"),
    ],
)
async def test_what_is_answered_in_place_of_the_platform(
    fault: Fault, status: int, kind: str, text: str
) -> None:
    async with (
        Platform(faults=Faults.schedule({0: fault})) as platform,
        aiohttp.ClientSession() as session,
        session.post(f"{platform.url}/{URL}", data=b"{}", allow_redirects=False) as response,
    ):
        assert (response.status, response.content_type) == (status, kind)
        assert text in await response.text()


async def test_a_firewall_rejects_bodies_that_hold_a_text() -> None:
    async with Platform(window=None, firewall=LEARNERS[7]) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(
            platform.url, platform.token, window=RequestWindow(1000, 0.1)
        ) as client:
            report = await client.bulk_enroll(LEARNERS, [COURSE], email_students=True)
        (failure,) = report.failures
        assert (failure.identifier, failure.outcome) == (LEARNERS[7], Outcome.REJECTED)
        assert "a firewall in front of the site rejects this call" in (failure.error or "")
        assert len(platform.outbox) == 39
        assert {one.notified for one in report if one.outcome.ok} == {True}


async def test_idle_connections_are_closed_when_the_site_likes() -> None:
    async with Platform(keep_alive=0.1) as platform, aiohttp.ClientSession() as session:
        async with session.post(f"{platform.url}/{URL}") as response:
            await response.read()
            connection = response.connection
        assert connection is None  # back in the pool
        host, port = platform.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.read(), 10)  # until the site closes it
        writer.close()
