"""Bulk calls that go wrong: what the caller sees, and what has been done."""

import errno
import math
import time
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import ClientError, ClientOSError, ClientPayloadError
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.models import Action, RequestWindow
from async_enroll.sandbox import Fault, Faults, Mail, Platform
from tests.sandbox.raw import BULK, C1, C2, MISSING, Answer, Raw, small_platform, speaking_to
from tests.waiting import until

EVERYBODY = "Jane,joe,new@example.org"

PAGES = {
    Fault.BAD_GATEWAY_BEFORE: 502,
    Fault.BAD_GATEWAY_AFTER: 502,
    Fault.UNAVAILABLE_BEFORE: 503,
    Fault.UNAVAILABLE_AFTER: 503,
    Fault.GATEWAY_TIMEOUT_BEFORE: 504,
    Fault.GATEWAY_TIMEOUT_AFTER: 504,
    Fault.SERVER_ERROR: 500,
    Fault.UNDONE_BAD_GATEWAY: 502,
    Fault.DATABASE_ERROR: 500,
    Fault.TOO_LARGE: 413,
}
PROCESSED = {
    Fault.RESET_AFTER,
    Fault.STALL_AFTER,
    Fault.BAD_GATEWAY_AFTER,
    Fault.UNAVAILABLE_AFTER,
    Fault.GATEWAY_TIMEOUT_AFTER,
    Fault.GATEWAY_TIMEOUT_DURING,
    Fault.CUT,
    Fault.GARBLED,
    Fault.MISSING_RESULTS,
    Fault.MAIL_FAILS,
}
UNDONE = {
    Fault.SERVER_ERROR: 3,
    Fault.UNDONE_RESET: 3,
    Fault.UNDONE_BAD_GATEWAY: 3,
    Fault.DATABASE_ERROR: 2,
    Fault.DATABASE_ERROR_LAST: 5,
}
"""What is begun and undone, and how many of six mails have left by then."""


def meeting(*faults: Fault, **options: Any) -> Platform:
    """A platform whose first calls meet these faults."""
    schedule = Faults.schedule(dict(enumerate(faults)), linger=0.1)
    return small_platform(faults=schedule, **options)


async def call(raw: Raw) -> Answer | None:
    """What a call is answered; None if it is not, or not as a whole, within a while."""
    with anyio.move_on_after(0.3):
        try:
            return await raw.bulk(EVERYBODY, f"{C1},{C2}", email_students=True)
        except ClientError:
            return None
    return None


def mails(*courses: str) -> list[Mail]:
    addresses = ["Jane@example.org", "joe@example.org", "new@example.org"]
    return [Mail(Action.ENROLL, address, course) for course in courses for address in addresses]


@pytest.mark.parametrize("fault", Fault)
async def test_a_call_is_processed_or_not(fault: Fault) -> None:
    async with meeting(fault) as platform, speaking_to(platform) as raw:
        await call(raw)
        await anyio.sleep(0.15)
        processed = fault in PROCESSED
        assert platform.is_enrolled("Jane", C1) is processed
        assert platform.is_allowed("new@example.org", C2) is processed
        assert bool(platform.audit) is processed
        mailed = mails(C1, C2)
        if fault is Fault.MAIL_FAILS:
            del mailed[2]
        assert platform.outbox == mailed[: 6 if processed else UNDONE.get(fault, 0)]
        assert platform.faults_made == [(0, fault)]
        # The next call is not concerned, nor is it told of anything but itself.
        answer = await call(raw)
        assert answer is not None
        before = answer.json["courses"][C2]["results"][0]["before"]
        assert before["enrollment"] is processed


@pytest.mark.parametrize(("fault", "status"), PAGES.items())
async def test_pages(fault: Fault, status: int) -> None:
    async with meeting(fault) as platform, speaking_to(platform) as raw:
        answer = await call(raw)
    assert answer is not None
    assert (answer.status, answer.is_page) == (status, True)
    assert "Retry-After" not in answer.headers
    assert [request.status for request in platform.requests] == [status]


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.UNDONE_RESET])
async def test_resets(fault: Fault) -> None:
    async with meeting(fault) as platform, speaking_to(platform) as raw:
        with pytest.raises(ClientOSError) as caught:
            await raw.bulk("Jane", C1)
        assert caught.value.errno == errno.ECONNRESET
        assert (await raw.bulk("Jane", C1)).status == 200
    assert [request.status for request in platform.requests] == [444, 200]


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.STALL_AFTER])
async def test_stalls_until_the_caller_leaves(fault: Fault) -> None:
    async with meeting(fault) as platform, speaking_to(platform) as raw:
        with anyio.move_on_after(0.3) as scope:
            await raw.bulk("Jane", C1)
        assert scope.cancelled_caught
        assert (await raw.bulk("Jane", C1)).status == 200
    assert [request.status for request in platform.requests] == [499, 200]


async def test_the_platform_is_left_quickly_while_calls_stall() -> None:
    async with anyio.create_task_group() as callers:
        async with meeting(*[Fault.STALL, Fault.STALL_AFTER] * 3) as platform:
            for _ in range(6):
                callers.start_soon(call_until_dropped, platform)
            while len(platform.requests) < 6:
                await anyio.sleep(0.01)
            start = time.monotonic()
        assert time.monotonic() - start < 3


async def call_until_dropped(platform: Platform) -> None:
    async with speaking_to(platform) as raw:
        with pytest.raises(ClientError):
            await raw.bulk("Jane", C1)


async def test_a_504_comes_at_once_while_the_work_goes_on() -> None:
    async with meeting(Fault.GATEWAY_TIMEOUT_DURING) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk("Jane", C1)
        assert (answer.status, answer.is_page) == (504, True)
        assert not platform.is_enrolled("Jane", C1)
        await until(lambda: platform.is_enrolled("Jane", C1))


async def test_half_of_a_failing_call_is_at_least_one_pair() -> None:
    async with meeting(Fault.SERVER_ERROR) as platform, speaking_to(platform) as raw:
        assert (await raw.bulk("Jane", C1, email_students=True)).status == 500
    assert platform.outbox == [Mail(Action.ENROLL, "Jane@example.org", C1)]
    assert not platform.is_enrolled("Jane", C1)


async def test_a_cut_answer_is_shorter_than_it_says() -> None:
    async with meeting(Fault.CUT) as platform, speaking_to(platform) as raw:
        with pytest.raises(ClientPayloadError):
            await raw.bulk("Jane", C1)
        async with raw.session.post(
            raw.url + BULK, headers=raw.headers, data=msgspec.json.encode({})
        ) as response:
            assert response.status == 400


async def test_a_garbled_answer_is_whole_and_no_json() -> None:
    async with meeting(Fault.GARBLED) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk("Jane", C1)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.body)


@pytest.mark.parametrize(
    ("identifiers", "told"), [("Jane", []), ("Jane,joe", ["joe"]), ("a@b.org Jane joe", ["Jane"])]
)
async def test_results_are_missing(identifiers: str, told: list[str]) -> None:
    async with meeting(Fault.MISSING_RESULTS) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk(identifiers, f"{C1},{C2}")
    assert answer.status == 200
    for course in (C1, C2):
        results = answer.json["courses"][course]["results"]
        assert [result["identifier"] for result in results] == told


async def test_a_refusal_has_no_results_to_miss() -> None:
    async with meeting(Fault.MISSING_RESULTS) as platform, speaking_to(platform) as raw:
        assert (await raw.bulk("Jane", MISSING)).status == 404


async def test_throttled_until_a_date() -> None:
    async with meeting(Fault.THROTTLED_DATE) as platform, speaking_to(platform) as raw:
        now = time.time()
        answer = await raw.bulk("Jane", C1)
        assert answer.status == 429
        assert answer.json == {"detail": "Request was throttled."}
        ahead = parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() - now
        assert 0.5 <= ahead < 5


async def test_throttled_without_a_word() -> None:
    async with meeting(Fault.THROTTLED_SILENT) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk("Jane", C1)
        assert answer.status == 429
        assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("retry_after", ["86400", "-5", "Sat, 09 May 2099 12:00:00 GMT", "soon"])
async def test_throttled_for_as_long_as_told(retry_after: str) -> None:
    faults = Faults.schedule({0: Fault.THROTTLED}, retry_after=retry_after)
    async with small_platform(faults=faults) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk("Jane", C1)
        assert (answer.status, answer.headers["Retry-After"]) == (429, retry_after)
        assert (await raw.bulk("Jane", C1)).status == 200


async def test_unauthorized_once() -> None:
    async with meeting(Fault.UNAUTHORIZED) as platform, speaking_to(platform) as raw:
        answer = await raw.bulk("Jane", C1)
        assert (answer.status, answer.json["error_code"]) == (401, "token_expired")
        assert (await raw.bulk("Jane", C1)).status == 200


async def test_what_is_not_processed_is_not_counted_in_the_window() -> None:
    faults = [fault for fault in Fault if fault not in PROCESSED | set(UNDONE)]
    window = RequestWindow(calls=1, seconds=60)
    async with meeting(*faults, window=window) as platform, speaking_to(platform) as raw:
        async with anyio.create_task_group() as tasks:
            for _ in faults:
                tasks.start_soon(call, raw)
        assert len(platform.faults_made) == len(faults)
        assert (await raw.bulk("Jane", C1)).status == 200
        assert (await raw.bulk("Jane", C1)).status == 429


async def test_calls_without_effect_count_and_other_requests_do_not() -> None:
    schedule = Faults.schedule({1: Fault.BAD_GATEWAY_BEFORE, 3: Fault.UNAUTHORIZED})
    async with small_platform(faults=schedule) as platform, speaking_to(platform) as raw:
        statuses = []
        for _ in range(5):
            assert (await raw.request("GET", "/api/so2/v1/enrollments")).status == 200
            statuses.append((await raw.bulk("preflight@", C1)).status)
    assert statuses == [200, 502, 200, 401, 200]
    assert platform.faults_made == [(1, Fault.BAD_GATEWAY_BEFORE), (3, Fault.UNAUTHORIZED)]


faults = st.builds(
    Faults.chance,
    st.floats(0, 1),
    st.integers(),
    among=st.lists(st.sampled_from(Fault), min_size=1).map(tuple),
)


@given(faults)
def test_chance_is_always_the_same(faults: Faults) -> None:
    assert list(islice(faults, 50)) == list(islice(faults, 50))


@given(st.integers())
def test_chance_keeps_to_its_probability(seed: int) -> None:
    among = (Fault.CUT, Fault.STALL)
    drawn = list(islice(Faults.chance(0.25, seed, among=among), 2000))
    assert set(drawn) == {None, *among}
    assert 400 < 2000 - drawn.count(None) < 600
    assert set(islice(Faults.chance(0, seed), 100)) == {None}
    assert None not in islice(Faults.chance(1, seed), 100)


@given(st.integers())
def test_each_fault_has_its_share(seed: int) -> None:
    faults = Faults.shares({Fault.CUT: 0.1, Fault.STALL: 0.3, Fault.GARBLED: 0}, seed)
    drawn = list(islice(faults, 3000))
    assert drawn == list(islice(faults, 3000))
    assert 200 < drawn.count(Fault.CUT) < 400
    assert 750 < drawn.count(Fault.STALL) < 1050
    assert set(drawn) == {None, Fault.CUT, Fault.STALL}
    assert set(islice(Faults.shares({Fault.CUT: 1}, seed), 100)) == {Fault.CUT}
    assert set(islice(Faults.shares({}, seed), 100)) == {None}


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.6, 0.6), (math.nan, 0), (math.inf, 0)])
def test_shares_that_there_are_not(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Faults.shares(dict(zip((Fault.CUT, Fault.STALL), shares, strict=True)), 0)


async def test_chance_is_met_in_order_of_arrival() -> None:
    among = (Fault.UNAUTHORIZED, Fault.TOO_LARGE, Fault.UNAVAILABLE_AFTER)
    statuses = {None: 200, among[0]: 401, among[1]: 413, among[2]: 503}
    faults = Faults.chance(0.5, 7, among=among)
    async with small_platform(faults=faults) as platform, speaking_to(platform) as raw:
        seen = [(await raw.bulk("preflight@", C1)).status for _ in range(30)]
    assert seen == [statuses[fault] for fault in islice(faults, 30)]
    met = [(number, fault) for number, fault in enumerate(islice(faults, 30)) if fault]
    assert platform.faults_made == met
