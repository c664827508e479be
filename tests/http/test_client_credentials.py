"""Signing in by OAuth2: when a token is asked for, and what happens where there is none."""

import asyncio
import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import (
    AuthenticationError,
    BatchLimits,
    ClientCredentials,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    PlatformError,
    RequestWindow,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.http.client_credentials import Token
from async_enroll.http.token_answer import TokenAnswer
from async_enroll.sandbox import Fault, Faults, Platform
from tests.servers import answer, request, saying, talking
from tests.waiting import until

COURSE = "course-v1:Org+C0+2026"
TOKEN = "/oauth2/access_token"


def site(**settings: Any) -> Platform:
    platform = Platform(window=None, **settings)
    platform.add_course(COURSE)
    return platform


def client_of(platform: Platform, **settings: Any) -> EnrollmentClient:
    """A client that signs in, and sends a call for each learner."""
    credentials = ClientCredentials(*platform.add_application())
    settings = {
        "batch": BatchLimits(identifiers=1),
        "window": RequestWindow(10_000, 1),
        "settle": 0.2,
        **settings,
    }
    return EnrollmentClient(platform.url, credentials, **settings)


def learners(count: int) -> list[str]:
    return [f"learner{number}@example.org" for number in range(count)]


def asked(platform: Platform) -> int:
    """How often the platform was asked for a token."""
    return [request.path for request in platform.requests].count(TOKEN)


def refused(platform: Platform) -> int:
    return [request.status for request in platform.requests].count(HTTPStatus.UNAUTHORIZED)


async def use(client: EnrollmentClient) -> None:
    assert [record async for record in client.enrollments(course_id=COURSE)] == []


async def test_fifty_calls_share_one_token() -> None:
    async with site() as platform, client_of(platform, concurrency=50) as client:
        assert asked(platform) == 0
        async with anyio.create_task_group() as users:
            for _ in range(25):
                users.start_soon(use, client)
                users.start_soon(client.bulk_enroll, ["jane@example.org"], [COURSE])
        assert asked(platform) == 1
        assert refused(platform) == 0


@pytest.mark.parametrize("token_type", ["jwt", "bearer"])
async def test_either_kind_of_token(token_type: Literal["jwt", "bearer"]) -> None:
    async with site() as platform:
        credentials = ClientCredentials(*platform.add_application(), token_type=token_type)
        for _ in range(2):  # one value, two clients
            async with EnrollmentClient(platform.url, credentials) as client:
                await use(client)
        assert [request.status for request in platform.requests] == [200] * 4


async def test_a_token_is_renewed_before_it_ends() -> None:
    async with (
        site(token_lifetime=1.0, seconds_per_call=0.02) as platform,
        client_of(platform, concurrency=2) as client,
    ):
        report = await client.bulk_enroll(learners(50), [COURSE])
        assert report.ok
        assert asked(platform) >= 2  # at half its life
        assert refused(platform) == 0


async def test_a_short_life_carries_a_long_job() -> None:
    async with (
        site(token_lifetime=0.4, seconds_per_call=0.02) as platform,
        client_of(platform, concurrency=2) as client,
    ):
        started = time.monotonic()
        report = await client.bulk_enroll(learners(150), [COURSE])
        assert report.ok
        elapsed = time.monotonic() - started
        assert elapsed > 1.5
        assert asked(platform) <= elapsed / 0.2 + 1 + refused(platform)


async def test_a_revoked_token_is_renewed_once_for_all() -> None:
    async with site(seconds_per_call=0.01) as platform, client_of(platform) as client:
        async with anyio.create_task_group() as jobs:

            async def job() -> None:
                report = await client.bulk_enroll(learners(40), [COURSE])
                assert report.ok
                assert {result.attempts for result in report.results} == {1}

            jobs.start_soon(job)
            await until(lambda: len(platform.requests) > 10)
            platform.revoke_tokens()
        assert 1 <= refused(platform) <= 8
        assert asked(platform) == 2

        platform.revoke_tokens()
        records = [record async for record in client.enrollments()]
        assert records == []
        assert asked(platform) == 3


async def test_whoever_waits_outlives_the_first_to_ask() -> None:
    stalled = Faults.schedule({0: Fault.STALL})
    async with site(token_faults=stalled) as platform, client_of(platform) as client:
        first = asyncio.create_task(use(client))
        await anyio.sleep(0.05)
        others = [asyncio.create_task(use(client)) for _ in range(5)]
        await anyio.sleep(0.05)
        first.cancel()
        await asyncio.gather(*others)
        assert first.cancelled()
        await until(lambda: asked(platform) == 2)


async def test_one_failure_is_everybody_s() -> None:
    stalled = Faults.schedule({0: Fault.STALL})
    async with (
        site(token_faults=stalled) as platform,
        client_of(platform, timeout=0.3, listing="so2") as client,
    ):
        async with anyio.create_task_group() as users:
            errors: list[TransportError] = []

            async def fail() -> None:
                with pytest.raises(TransportError, match="no token: no answer from") as raised:
                    await use(client)
                errors.append(raised.value)

            for _ in range(8):
                users.start_soon(fail)
        assert len(set(map(id, errors))) == 8  # each their own: a job hangs its report on it
        assert not any(error.sent for error in errors)
        await use(client)
        assert asked(platform) == 2


async def test_a_site_that_gives_no_token_for_now_is_waited_for() -> None:
    faults = Faults.schedule(dict.fromkeys(range(3), Fault.UNAVAILABLE_BEFORE))
    async with site(token_faults=faults) as platform, client_of(platform, patience=5) as client:
        report = await client.bulk_enroll(learners(20), [COURSE], email_students=True)
        assert report.ok
        assert {result.attempts for result in report.results} == {1}
        assert len(platform.outbox) == 20
        assert asked(platform) == 4


async def test_a_retry_after_is_heeded() -> None:
    asked_at: list[float] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        asked_at.append(time.monotonic())
        busy = answer("429 Too Many Requests", b"{}", "Retry-After: 0.2")
        writer.write(busy if len(asked_at) == 1 else answer("401 Unauthorized", b"{}"))
        await writer.drain()

    credentials = ClientCredentials("id", "secret")
    async with talking(conversation) as url, EnrollmentClient(url, credentials) as client:
        with pytest.raises(AuthenticationError):
            await client.bulk_enroll(["jane"], [COURSE])
    first, second = asked_at
    assert second - first > 0.19


async def test_a_token_that_is_good_is_used_while_the_site_gives_no_other() -> None:
    faults = Faults.schedule({1: Fault.STALL, 2: Fault.UNAVAILABLE_BEFORE})
    returned: list[str] = []
    async with (
        site(token_lifetime=1.5, token_faults=faults) as platform,
        client_of(platform, timeout=0.15) as client,
    ):

        async def call(name: str) -> None:
            await use(client)
            returned.append(name)

        await use(client)
        await anyio.sleep(0.77)
        async with anyio.create_task_group() as users:
            users.start_soon(call, "asks for a token")
            users.start_soon(call, "does not wait for it")
        assert returned == ["does not wait for it", "asks for a token"]
        await anyio.sleep(0.34)
        for _ in range(2):  # the first asks, and the second not again at once
            await use(client)
        assert asked(platform) == 3
        assert refused(platform) == 0


async def test_a_site_that_gives_no_token_at_all_ends_the_job() -> None:
    never = Faults.chance(1, seed=1, among=[Fault.UNAVAILABLE_BEFORE])
    async with site(token_faults=never) as platform, client_of(platform, patience=0.2) as client:
        with pytest.raises(TransportError, match="gives out no token for now") as raised:
            await client.bulk_enroll(learners(3), [COURSE])
        assert raised.value.report is not None
        assert len(raised.value.report.failures) == 3
        assert {request.path for request in platform.requests} == {TOKEN}


async def test_a_wrong_secret_ends_the_job() -> None:
    async with site() as platform:
        client_id, _ = platform.add_application()
        credentials = ClientCredentials(client_id, "wrong")
        async with EnrollmentClient(platform.url, credentials) as client:
            words = "does not accept the client id and secret: error: invalid_client"
            with pytest.raises(AuthenticationError, match=words) as raised:
                await client.bulk_enroll(["jane"], [COURSE])
            assert raised.value.report is not None
        assert [request.path for request in platform.requests] == [TOKEN]


async def test_the_secret_follows_no_redirect() -> None:
    heads: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request(reader))

    credentials = ClientCredentials("id", "secret")
    async with talking(elsewhere) as target:
        said = answer("307 Temporary Redirect", b"", f"Location: {target}/")
        async with saying(said) as url, EnrollmentClient(url, credentials, patience=0.1) as client:
            with pytest.raises(ConfigurationError, match="redirects"):
                await client.bulk_enroll(["jane"], [COURSE])
    assert not heads


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            answer("400 Bad Request", b'{"error": "unauthorized_client"}'),
            AuthenticationError,
            "does not accept the client id and secret: error: unauthorized_client",
        ),
        (
            answer("404 Not Found", b"<title>Page not found</title>", kind="text/html"),
            PlatformError,
            "no token endpoint: status 404, a page titled 'Page not found'",
        ),
        (
            answer("200 OK", b"<title>Welcome</title>", kind="text/html"),
            PlatformError,
            "no token endpoint: status 200, a page titled 'Welcome'",
        ),
        (
            answer("403 Forbidden", b"<title>Forbidden</title>", kind="text/html"),
            TransportError,
            "gives out no token for now: status 403",
        ),
        (answer("200 OK", b'{"access_'), UnexpectedResponse, "not a JSON object"),
        (answer("200 OK", b"[]"), UnexpectedResponse, "not a JSON object"),
        (answer("200 OK", b"{}"), UnexpectedResponse, "access_token: missing"),
        (
            answer("200 OK", b'{"access_token": "two words"}'),
            UnexpectedResponse,
            "access_token: not a token",
        ),
        (
            answer("200 OK", b'{"access_token": "abc", "token_type": "mac"}'),
            UnexpectedResponse,
            "token_type: expected 'JWT' or 'Bearer'",
        ),
        (
            answer("200 OK", b'{"access_token": "abc", "expires_in": -5}'),
            UnexpectedResponse,
            "expires_in: expected seconds, more than 0, found -5",
        ),
        (answer("200 OK", b" " * 1024 * 1025), TransportError, "larger than 1048576 bytes"),
    ],
)
async def test_a_site_without_tokens(said: bytes, kind: type[EnrollError], words: str) -> None:
    async with saying(said) as url, EnrollmentClient(url, ClientCredentials("a", "b")) as client:
        with pytest.raises(kind, match=words):
            await anext(client.enrollments())


async def test_nobody_listens() -> None:
    async with saying(b"") as url:
        pass
    async with EnrollmentClient(url, ClientCredentials("a", "b")) as client:
        with pytest.raises(TransportError, match="no connection to") as raised:
            await client.bulk_enroll(["jane"], [COURSE])
    assert raised.value.report is not None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ClientCredentials("", "sesame"), "the client_id is empty"),
        (lambda: ClientCredentials("id", " \n"), "the client_secret is empty"),
        (lambda: ClientCredentials("id", b"sesame"), "client_secret is of type bytes"),  # type: ignore[arg-type]
        (lambda: ClientCredentials(None, "sesame"), "client_id is of type NoneType"),  # type: ignore[arg-type]
        (lambda: ClientCredentials("id", "ses\0ame"), "cannot be typed"),
        (lambda: ClientCredentials("id", "ses\udcffame"), "cannot be typed"),
        (lambda: ClientCredentials("id", "x", "sesame"), "neither 'jwt' nor 'bearer'"),  # type: ignore[arg-type]
        (lambda: ClientCredentials("id", "sesame", skew=-1), "expected seconds"),
        (lambda: ClientCredentials("id", "sesame", skew=math.nan), "expected seconds"),
        (lambda: ClientCredentials("id", "sesame", skew="1"), "expected seconds"),  # type: ignore[arg-type]
    ],
)
def test_what_are_no_credentials(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        make()
    assert "ame" not in str(raised.value)


def test_white_space_around_credentials_does_not_count() -> None:
    assert ClientCredentials("id\n", " secret ") == ClientCredentials("id", "secret")


seconds = st.floats(0.001, 1e9)


@given(lifetime=seconds, skew=st.floats(0, 1e6), asked=st.floats(0, 1e6))
def test_a_token_is_due_in_the_second_half_of_its_life(
    lifetime: float, skew: float, asked: float
) -> None:
    credentials = ClientCredentials("id", "secret", skew=skew)
    token = Token.of(TokenAnswer("abc", lifetime, None), credentials, asked)
    assert token.authorization == "JWT abc"
    assert token.end == asked + lifetime
    assert asked < token.due <= token.end
    assert token.end - token.due == pytest.approx(min(skew, lifetime / 2), abs=1e-3)
    later = token.put_off(token.due)
    assert token.due <= later.due <= later.end == token.end


def test_a_token_of_unknown_life_is_never_due() -> None:
    token = Token.of(TokenAnswer("abc", None, "bearer"), ClientCredentials("id", "secret"), 5.0)
    assert token == Token("Bearer abc", math.inf, math.inf)
