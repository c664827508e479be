"""The listing: streamed, filtered, whole or an error, and several at once."""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from async_enroll import (
    ConfigurationError,
    Enrollment,
    EnrollmentClient,
    EnrollmentQuery,
    PlatformError,
    RequestWindow,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.sandbox import ListingForm, Platform
from tests.servers import answer, request, saying, talking

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]


def record(username: str = "jane", course_id: str = C0, created: str = "2021-03-09 20:15") -> bytes:
    return json.dumps(
        {
            "username": username,
            "email": f"{username}@example.org",
            "course_id": course_id,
            "is_active": True,
            "mode": "audit",
            "created": created,
        }
    ).encode()


async def listed(url: str, query: EnrollmentQuery | None = None) -> list[Enrollment]:
    query = query or EnrollmentQuery()
    async with EnrollmentClient(url, "token") as client:
        return [
            one
            async for one in client.enrollments(
                course_id=query.course_id, username=query.username, days=query.days
            )
        ]


@pytest.mark.parametrize("form", ListingForm)
async def test_the_four_forms_give_the_same_records(form: ListingForm) -> None:
    async with Platform(listing=form, page_size=7) as platform:
        learners = platform.seed(learners=20, courses=3)
        for username in learners.usernames:
            for course_id in learners.courses:
                platform.enroll(username, course_id)
        async with EnrollmentClient(platform.url, platform.token) as client:
            found = [one async for one in client.enrollments()]
            filtered = [one async for one in client.enrollments(course_id=learners.courses[1])]
        assert sorted(found, key=repr) == sorted(platform.enrollments, key=repr)
        assert len(found) == 60
        assert len(filtered) == 20


async def test_the_request_as_documented(platform: Platform, client: EnrollmentClient) -> None:
    assert [one async for one in client.enrollments(course_id=C0, username="a b", days=3)] == []
    (logged,) = platform.requests
    assert logged.status == 200  # the sandbox insists on the documented headers
    assert logged.query == "course_id=course-v1:Org%2BC0%2B2026&username=a+b&days=3"


async def test_a_site_below_a_path() -> None:
    heads: list[bytes] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request(reader))
        writer.write(answer("200 OK", b"[]"))
        await writer.drain()

    async with talking(conversation) as url:
        await listed(f"{url}/openedx/")
    assert heads[0].startswith(b"GET /openedx/api/so2/v1/enrollments HTTP/1.1\r\n")


async def test_records_come_while_the_body_is_still_arriving() -> None:
    go_on = anyio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[" + record())
        await writer.drain()
        await go_on.wait()
        writer.write(b"]")

    with anyio.fail_after(5):
        async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
            records = client.enrollments()
            assert (await anext(records)).username == "jane"
            go_on.set()
            assert [one async for one in records] == []


@pytest.mark.parametrize(
    "said",
    [
        answer("200 OK", record() + b"," + record("joe"))[: -len(record("joe")) - 1],
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(record()) + record() + b"\r\n",
        answer("200 OK", record() + b"\n" + record("joe") + b"\n")[: -len(record("joe")) - 1],
    ],
)
async def test_a_body_cut_between_two_records_is_an_error(said: bytes) -> None:
    async with saying(said) as url:
        with pytest.raises(TransportError, match="cut short"):
            await listed(url)


async def test_a_body_cut_inside_a_record_is_an_error() -> None:
    async with saying(OK + b"Connection: close\r\n\r\n" + record() + b"," + record()[:-9]) as url:
        with pytest.raises(UnexpectedResponse, match="ends early, after 1 records"):
            await listed(url)


async def test_a_listing_that_drips_is_given_up() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"Connection: close\r\n\r\n[" + record() + b",{")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with talking(conversation) as url, EnrollmentClient(url, "token", timeout=0.3) as client:
        records = client.enrollments()
        assert (await anext(records)).username == "jane"
        with anyio.fail_after(3), pytest.raises(TransportError, match=r"within 0\.3 s"):
            await anext(records)


async def test_a_listing_without_end_takes_no_memory() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"Content-Length: 10000000000\r\n\r\n[")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with talking(conversation) as url, EnrollmentClient(url, "token", timeout=0.3) as client:
        with anyio.fail_after(10), pytest.raises((TransportError, UnexpectedResponse)):
            await anext(client.enrollments())


async def test_filters_sent_together_are_checked_here_too() -> None:
    now = datetime.now(UTC)
    records = [
        record("jane", C0, now.isoformat()),
        record("JANE", C0, f"{now - timedelta(days=1):%Y-%m-%d %H:%M}"),
        record("joe", C0, now.isoformat()),
        record("jane", C1, now.isoformat()),
        record("jane", C0, (now - timedelta(days=8)).isoformat()),
        record("jane", C0, f"{now - timedelta(days=8):%Y-%m-%d %H:%M}"),
    ]
    async with saying(answer("200 OK", b"[" + b",".join(records) + b"]")) as url:
        both = await listed(url, EnrollmentQuery(C0, "jane", 7))
        assert [(one.username, one.course_id) for one in both] == [("jane", C0), ("JANE", C0)]
        assert len(await listed(url, EnrollmentQuery(course_id=C0))) == 6


def unframed(body: bytes) -> bytes:
    """An answer that ends with the connection, as old proxies pass it on."""
    return b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body


@pytest.mark.parametrize("body", [b"", record(), record() + b"," + record("joe"), record() + b"\n"])
async def test_a_body_that_may_have_been_cut_is_an_error_but_for_one_learner(body: bytes) -> None:
    async with saying(unframed(body)) as url:
        for query in (EnrollmentQuery(), EnrollmentQuery(course_id=C0), EnrollmentQuery(days=1)):
            with pytest.raises(UnexpectedResponse, match="may have been cut short"):
                await listed(url, query)
        assert len(await listed(url, EnrollmentQuery(username="jane"))) == body.count(b"{")
    async with saying(unframed(b"[" + record() + b"]")) as url:
        assert len(await listed(url)) == 1
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    for coding in (b"Content-Length: %d\r\n\r\n%b", chunked):
        async with saying(OK + coding % (len(record()), record())) as url:
            assert len(await listed(url)) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_pages_that_name_the_next_in_their_pagination(first: bool) -> None:
    """As of edx_rest_framework_extensions' NamespacedPageNumberPagination."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await request(reader)).split(b" ")[1]
            number = int(target.partition(b"page=")[2] or 1)
            lead = f"/api/so2/v1/enrollments?page={number + 1}" if number < 5 else None
            parts = {"pagination": {"count": 500, "num_pages": 5, "next": lead, "previous": None}}
            listed = [json.loads(record(f"u{number}-{one}")) for one in range(100)]
            said = {**parts, "results": listed} if first else {"results": listed, **parts}
            writer.write(answer("200 OK", json.dumps(said).encode()))
            await writer.drain()

    async with talking(conversation) as url:
        assert len({one.username for one in await listed(url)}) == 500


async def test_a_page_that_does_not_say_what_follows_is_not_the_last() -> None:
    said = b'{"count": 500, "num_pages": 5, "current_page": 1, "results": [%b]}' % record()
    async with saying(answer("200 OK", said)) as url:
        with pytest.raises(UnexpectedResponse, match="next: expected an address or null"):
            await listed(url)


async def test_a_record_may_lack_its_time() -> None:
    """The platform's column may be empty (CourseEnrollment.created)."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    timeless = record("joe").replace(b'"2021-03-09 20:15"', b"null")
    async with saying(answer("200 OK", b"[%b,%b]" % (record(created=now), timeless))) as url:
        assert [one.created is None for one in await listed(url)] == [False, True]
        assert [one.username for one in await listed(url, EnrollmentQuery(C0, days=1))] == ["jane"]


def page(next_page: str | None, *records: bytes) -> bytes:
    body = b'{"count": 9, "next": %b, "results": [%b]}'
    return answer("200 OK", body % (json.dumps(next_page).encode(), b",".join(records)))


async def test_pages_lead_on_with_their_filters() -> None:
    asked: list[bytes] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(3):
            head = await request(reader)
            asked.append(head.split(b" ")[1])
            host = head.split(b"Host: ")[1].split(b"\r\n")[0].decode()
            # As absolute URL, as a path, and the last.
            leads = [f"http://{host}/api/x?course_id=a%2Bb&page=2", "/api/x?page=3", None]
            writer.write(page(leads[number], record(f"learner{number}")))
            await writer.drain()

    async with talking(conversation) as url:
        found = await listed(url)
    assert [one.username for one in found] == ["learner0", "learner1", "learner2"]
    assert asked[1:] == [b"/api/x?course_id=a%2Bb&page=2", b"/api/x?page=3"]


@pytest.mark.parametrize(
    "lead", ["http://elsewhere.example.org/api/x", "http://127.0.0.1:9/api/x", "//evil.org/x"]
)
async def test_pages_of_another_origin_are_not_followed(lead: str) -> None:
    async with saying(page(lead, record())) as url:
        with pytest.raises(UnexpectedResponse, match="next: expected a page of http://127"):
            await listed(url)


@pytest.mark.parametrize("odd", ["\0", "\r\nX: y", " ", "\x7f", "\x85", "\u2028", "\u00a0"])
async def test_pages_whose_address_is_none(odd: str) -> None:
    async with saying(page(f"/api/x?page=2{odd}", record())) as url:
        with pytest.raises(UnexpectedResponse, match="next: expected an address, found '/api/x"):
            await listed(url)


async def test_pages_that_lead_in_a_circle() -> None:
    async with saying(page("/api/x?page=2")) as url:
        with pytest.raises(UnexpectedResponse, match="in a circle"):
            await listed(url)


async def test_a_refusal_is_waited_out() -> None:
    times: list[float] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            times.append(anyio.current_time())
            refused = answer("429 Too Many Requests", b"{}", "Retry-After: 1")
            writer.write(refused if len(times) == 1 else answer("200 OK", b"[]"))
            await writer.drain()

    async with talking(conversation) as url:
        assert await listed(url) == []
    assert times[1] - times[0] >= 1


async def test_refusals_without_end_are_given_up() -> None:
    said = answer("429 Too Many Requests", b'{"detail": "slow down"}', "Retry-After: 0")
    async with saying(said) as url:
        async with EnrollmentClient(url, "token", patience=0.5) as client:
            with pytest.raises(TransportError, match="refuses every call"):
                _ = [record async for record in client.enrollments()]


async def test_several_queries_give_each_record_once(
    platform: Platform, client: EnrollmentClient
) -> None:
    for number in range(10):
        for course_id in COURSES:
            platform.enroll(f"learner{number}", course_id)
    queries = [*map(EnrollmentQuery, COURSES), EnrollmentQuery(username="learner1")] * 2
    found = [one async for one in client.enrollments_for(queries)]
    assert len(found) == 30
    assert sorted(found, key=repr) == sorted(platform.enrollments, key=repr)
    assert len(platform.requests) == 4  # the same query is not asked twice


async def slow_listing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """List for ever, a record each hundredth of a second."""
    await request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
    number = 0
    while True:
        writer.write(record(f"learner{number}") + b",")
        await writer.drain()
        number += 1
        await asyncio.sleep(0.01)


async def test_leaving_the_loop_stops_all_queries() -> None:
    open_now = peak = 0

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, peak
        open_now += 1
        peak = max(peak, open_now)
        try:
            await slow_listing(reader, writer)
        finally:
            open_now -= 1

    async with (
        talking(conversation) as url,
        EnrollmentClient(url, "token", concurrency=4) as client,
    ):
        before = asyncio.all_tasks()
        async for _ in client.enrollments_for(EnrollmentQuery(days=n) for n in range(20)):
            if open_now == 4:
                break
        gc.collect()
        with anyio.fail_after(2):
            while open_now or asyncio.all_tasks() - before:
                await anyio.sleep(0.01)
        assert peak == 4


async def test_one_query_that_fails_stops_the_others() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        if b"days=1 " in head:
            await asyncio.sleep(0.05)
            writer.write(answer("500 Internal Server Error", b"<title>Oops</title>"))
            await writer.drain()
        else:
            await slow_listing(reader, writer)

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        queries = [EnrollmentQuery(days=1), EnrollmentQuery(days=2)]
        with pytest.raises(PlatformError, match="Oops"), anyio.fail_after(5):
            async for _ in client.enrollments_for(queries):
                pass


async def test_concurrency_bounds_single_queries_too(platform: Platform) -> None:
    async with (
        talking(slow_listing) as url,
        EnrollmentClient(url, "token", concurrency=2) as client,
    ):
        started = 0

        async def read() -> None:
            nonlocal started
            async for _ in client.enrollments():
                started += 1
                await anyio.sleep_forever()

        async def keep_reading() -> AsyncIterator[None]:
            async for _ in client.enrollments():
                yield

        busy = [keep_reading() for _ in range(2)]
        async with anyio.create_task_group() as tasks:

            async def pull(reading: AsyncIterator[None]) -> None:
                async for _ in reading:
                    pass

            for reading in busy:
                tasks.start_soon(pull, reading)
            await anyio.sleep(0.1)
            tasks.start_soon(read)
            await anyio.sleep(0.1)
            assert started == 0  # both slots are busy
            tasks.cancel_scope.cancel()


async def test_queries_inside_the_loop_over_a_query(platform: Platform) -> None:
    for course_id in COURSES:
        platform.enroll("learner1", course_id)
    async with EnrollmentClient(platform.url, platform.token, concurrency=1) as client:
        found = []
        with anyio.fail_after(5):
            async for outer in client.enrollments(username="learner1"):
                async for inner in client.enrollments(course_id=outer.course_id):
                    found.append(inner)  # noqa: PERF401  # the nested loop is the point
                await client.bulk_unenroll([outer.username], [outer.course_id])
        assert len(found) == 3


MEMORY = """
import asyncio, resource, sys
from async_enroll import EnrollmentClient

async def main():
    async with EnrollmentClient(sys.argv[1], "token") as client:
        await anext(client.enrollments(days=0))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = 0
        async for _ in client.enrollments():
            count += 1
        print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main())
"""


async def test_a_million_records_in_constant_memory() -> None:
    some = b",".join(record(f"learner{number}") for number in range(1000))

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[" + some)
        for _ in range(0 if b"days=0" in head else 999):
            writer.write(b"," + some)
            await writer.drain()
        writer.write(b"]")
        await writer.drain()

    async with talking(conversation) as url:
        done = await anyio.run_process([sys.executable, "-c", MEMORY, url], stderr=None)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 1_000_000
    assert kilobytes < 64 * 1024


async def test_a_listing_may_be_left_and_the_connection_is_closed() -> None:
    left = anyio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await slow_listing(reader, writer)
        finally:
            left.set()

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        async with aclosing(client.enrollments()) as records:
            await anext(records)
        with anyio.fail_after(2):
            await left.wait()


@pytest.mark.parametrize(
    "filters",
    [
        {"course_id": " "},
        {"course_id": f"{C0}\udcff"},
        {"course_id": f"{C0}\0"},
        {"username": ""},
        {"username": "\ud800"},
        {"days": -1},
        {"days": 10**9},
    ],
)
async def test_filters_that_cannot_be(
    platform: Platform, client: EnrollmentClient, filters: dict[str, str | int]
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(filters))):
        await anext(client.enrollments(**filters))  # type: ignore[arg-type]  # the mistake itself
    assert platform.requests == []


async def test_a_hold_of_the_writing_side_holds_reading() -> None:
    async with Platform(window=RequestWindow(1, 1)) as platform:
        platform.add_course(C0)
        wide = RequestWindow(10, 1)
        async with EnrollmentClient(platform.url, platform.token, window=wide) as client:
            async with anyio.create_task_group() as tasks:
                for number in range(2):
                    tasks.start_soon(client.bulk_enroll, [f"new{number}@example.org"], [C0])
                with anyio.fail_after(2):
                    while not any(logged.status == 429 for logged in platform.requests):
                        await anyio.sleep(0.005)
                await anyio.sleep(0.01)
                start = anyio.current_time()
                assert [one.username async for one in client.enrollments()] == []
                assert anyio.current_time() - start > 0.5
