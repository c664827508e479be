"""What stands before the application: body limit, line of workers, access log."""

from functools import partial
from io import BytesIO

import anyio
import pytest

from async_enroll.sandbox import Platform
from tests.sandbox.raw import BULK, C1, LISTING, Raw, small_platform, speaking_to


@pytest.mark.parametrize(("size", "status"), [(2000, 400), (2001, 413)])
@pytest.mark.parametrize("token", ["known", None])
async def test_the_body_has_a_limit(size: int, status: int, token: str | None) -> None:
    async with small_platform(body_limit=2000) as platform, speaking_to(platform) as raw:
        caller = raw if token else raw.using(None)
        answer = await caller.request("POST", BULK, data=BytesIO(b" " * size))
    # The proxy does not know tokens.
    assert answer.status == (status if token or status == 413 else 401)
    assert answer.is_page == (status == 413)
    assert platform.requests[-1].status == answer.status


async def test_a_body_of_one_mebibyte_passes(raw: Raw) -> None:
    answer = await raw.request("POST", BULK, data=BytesIO(b" " * 1024 * 1024))
    assert answer.status == 400
    answer = await raw.request("POST", BULK, data=BytesIO(b" " * (1024 * 1024 + 1)))
    assert answer.status == 413


@pytest.mark.parametrize(("workers", "peak"), [(None, 6), (2, 2), (1, 1)])
async def test_workers(workers: int | None, peak: int) -> None:
    async with (
        small_platform(workers=workers, seconds_per_call=0.1) as platform,
        speaking_to(platform) as raw,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(6):
            tasks.start_soon(partial(raw.bulk, "Jane", C1))
    assert platform.in_flight_peak == peak
    span = max(request.end for request in platform.requests) - min(
        request.arrival for request in platform.requests
    )
    assert span >= 0.1 * 6 / peak


async def test_the_access_log(platform: Platform, raw: Raw) -> None:
    await raw.request("GET", f"{LISTING}?course_id=a%2Bb+c", headers={"X-Trace": "7"})
    await raw.bulk("Jane joe", C1)
    await raw.post({})
    listing, call, refused = platform.requests
    assert (listing.method, listing.path, listing.query) == ("GET", LISTING, "course_id=a%2Bb+c")
    assert (listing.status, listing.pairs) == (200, 0)
    assert listing.headers["x-trace"] == "7"
    assert "Authorization" not in listing.headers
    assert platform.token not in str(platform.requests)
    assert (call.method, call.path, call.query) == ("POST", BULK, "")
    assert (call.status, call.pairs) == (200, 2)
    assert (refused.status, refused.pairs) == (400, 0)
    assert listing.arrival <= listing.end <= call.arrival <= call.end


async def test_a_caller_may_leave_half_way(platform: Platform, raw: Raw) -> None:
    host, _, port = platform.url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as connection:
        head = f"POST {BULK} HTTP/1.1\r\nHost: platform\r\nContent-Length: 9\r\n\r\n"
        await connection.send(head.encode() + b"{")
        await raw.request("GET", LISTING)
    await raw.request("GET", LISTING)
    assert [request.status for request in platform.requests] == [200, 400, 200]
