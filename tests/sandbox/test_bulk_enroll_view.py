"""The bulk endpoint over HTTP: the order of its checks, the throttle, the pace."""

import time

import anyio
import pytest

from async_enroll.models import RequestWindow
from async_enroll.sandbox import Platform
from tests.sandbox.raw import BULK, C1, C2, MISSING, Raw, small_platform, speaking_to


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_wants_a_token(raw: Raw, token: str | None) -> None:
    answer = await raw.using(token).bulk("Jane", C1)
    assert answer.status == 401
    assert list(answer.json) == (["error_code", "developer_message"] if token else ["detail"])
    assert answer.headers["WWW-Authenticate"] == 'JWT realm="api"'


async def test_wants_the_bearer_scheme(platform: Platform, raw: Raw) -> None:
    headers = {"Authorization": f"JWT {platform.token}"}
    assert (await raw.using(None).request("POST", BULK, headers=headers)).status == 401


async def test_wants_staff(platform: Platform, raw: Raw) -> None:
    answer = await raw.using(platform.add_token(staff=False)).bulk("Jane", C1)
    assert answer.status == 403
    assert list(answer.json) == ["detail"]
    assert (await raw.using(platform.add_token()).bulk("Jane", C1)).status == 200


async def test_malformed_json(raw: Raw) -> None:
    answer = await raw.request("POST", BULK, data=b'{"action": ')
    assert answer.status == 400
    assert answer.json["detail"].startswith("JSON parse error - ")


async def test_an_empty_body_lacks_every_field(raw: Raw) -> None:
    answer = await raw.request("POST", BULK)
    assert (answer.status, set(answer.json)) == (400, {"action", "courses", "identifiers"})


async def test_takes_json_only(raw: Raw) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await raw.request("POST", BULK, data=b"x", headers=headers)
    assert answer.status == 415
    assert answer.json == {"detail": 'Unsupported media type "text/plain" in request.'}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_takes_post_only(raw: Raw, method: str) -> None:
    answer = await raw.request(method, BULK)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST, OPTIONS")
    assert answer.json == {"detail": f'Method "{method}" not allowed.'}


@pytest.mark.parametrize("target", [BULK.rstrip("/"), "/", "/api/"])
async def test_there_is_nothing_else(raw: Raw, target: str) -> None:
    answer = await raw.request("POST", target)
    assert answer.status == 404
    assert answer.is_page


async def test_switched_off_it_is_not_found_whoever_asks() -> None:
    async with small_platform(bulk_enrollment_view=False) as platform, speaking_to(platform) as raw:
        for caller in (raw, raw.using(None)):
            answer = await caller.bulk("Jane", C1)
            assert answer.status == 404
            assert answer.is_page


async def test_refuses_in_the_framework_s_order(platform: Platform) -> None:
    window = RequestWindow(calls=1, seconds=60)
    async with small_platform(window=window) as platform, speaking_to(platform) as raw:
        learner = platform.add_token(staff=False)
        statuses = [
            (await raw.using(None).post({})).status,
            (await raw.using(learner).post({})).status,
            (await raw.using(learner).post({})).status,
            (await raw.post({})).status,
            (await raw.post({})).status,
        ]
    # Neither the unknown nor the learner is ever throttled; validation comes last.
    assert statuses == [401, 403, 403, 400, 429]


async def test_validation_comes_before_the_courses(raw: Raw) -> None:
    answer = await raw.bulk("Jane", f"{MISSING},nonsense")
    assert (answer.status, answer.json) == (400, {"courses": ["Course key not valid: nonsense"]})


async def test_cohorts_are_checked_in_the_database(raw: Raw) -> None:
    answer = await raw.bulk("Jane", MISSING, cohorts="A")
    message = f"cohort A not found in course {MISSING}."
    assert (answer.status, answer.json) == (400, {"non_field_errors": [message]})
    assert (await raw.bulk("Jane", f"{C1},{C2}", cohorts="A,A")).status == 400


async def test_throttles_each_user_for_the_window() -> None:
    window = RequestWindow(calls=3, seconds=1.0)
    async with small_platform(window=window) as platform, speaking_to(platform) as raw:
        assert (await raw.bulk("Jane", C1)).status == 200
        assert (await raw.bulk("Jane", MISSING)).status == 404
        assert (await raw.post({})).status == 400
        for _ in range(3):
            answer = await raw.bulk("Jane", C1)
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            wait = "Expected available in 1 second."
            assert answer.json == {"detail": f"Request was throttled. {wait}"}
        assert (await raw.using(platform.add_token()).bulk("Jane", C1)).status == 200
        await anyio.sleep(platform.requests[0].end + 1.0 - time.monotonic())
        assert (await raw.bulk("Jane", C1)).status == 200


async def test_retry_after_is_in_whole_seconds() -> None:
    window = RequestWindow(calls=1, seconds=60)
    async with small_platform(window=window) as platform, speaking_to(platform) as raw:
        await raw.bulk("Jane", C1)
        answer = await raw.bulk("Jane", C1)
        assert answer.headers["Retry-After"] == "60"
        assert answer.json["detail"].endswith("in 60 seconds.")


async def test_without_a_window_nobody_is_throttled() -> None:
    async with small_platform(window=None) as platform, speaking_to(platform) as raw:
        answers = [await raw.post({}) for _ in range(130)]
        assert {answer.status for answer in answers} == {400}


async def test_takes_its_time_for_calls_and_pairs() -> None:
    async with (
        small_platform(seconds_per_call=0.1, seconds_per_pair=0.05) as platform,
        speaking_to(platform) as raw,
    ):
        await raw.bulk("Jane joe", f"{C1},{C2}")
    (request,) = platform.requests
    assert request.pairs == 4
    assert request.end - request.arrival >= 0.3
