"""The usernames behind addresses, and the addresses of accounts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from async_enroll import (
    AuthenticationError,
    EnrollError,
    EnrollmentClient,
    PlatformError,
    TransportError,
)
from async_enroll.platform.accounts import ACCOUNTS, Accounts, Usernames
from async_enroll.sandbox import Platform
from tests.servers import answer, request, saying, talking

JANE = b'[{"username": "jane", "email": "Jane@example.org", "bio": null}]'
RETIRED = b'[{"error_msg": "This email is associated to a retired account."}]'
PAGE = answer("404 Not Found", b"<title>Page not found</title>", kind="text/html")


def accounts(client: EnrollmentClient) -> Accounts:
    return Accounts(client._transport, client._throttle, client._slots)


async def test_each_address_is_asked_about_once(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.add_user("plus", "a+b@example.org")
    usernames = Usernames(accounts(client))
    found: list[dict[str, str | None]] = []

    async def ask() -> None:
        addresses = ["LEARNER1@example.org", "learner1@EXAMPLE.org", "a+b@example.org", "new@x.org"]
        found.append(await usernames.of(addresses))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert found == 5 * [
        {"learner1@example.org": "learner1", "a+b@example.org": "plus", "new@x.org": None}
    ]
    assert len(platform.requests) == 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer("200 OK", JANE), "jane"),
        (answer("404 Not Found"), None),
        (answer("404 Not Found", RETIRED), None),
    ],
)
async def test_who_is_behind_an_address(said: bytes, expected: str | None) -> None:
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        found = await Usernames(accounts(client)).of(["jane@example.org"])
    assert found == {"jane@example.org": expected}


@pytest.mark.parametrize(
    "said",
    [
        # Before it could be asked by address, the platform told of the token's own user.
        answer("200 OK", b'[{"username": "staff", "email": "staff@example.org"}]'),
        answer("200 OK", b'[{"username": "jane"}]'),
        answer("200 OK", JANE[:-1] + b", " + JANE[1:]),
        answer("200 OK", b"[]"),
        answer("200 OK", b'{"username": "jane"}'),
        answer("200 OK", b'[{"email": "jane@example.org"}]'),
        answer("403 Forbidden", b'{"detail": "no"}'),
        answer("404 Not Found", b'{"message": "no Route matched with those values"}'),
        PAGE,
        b"",
    ],
)
async def test_what_is_not_sure_is_not_told(said: bytes) -> None:
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        assert await Usernames(accounts(client)).of(["jane@example.org"]) == {}


async def test_a_site_that_fails_is_not_asked_about_everybody() -> None:
    async with Platform(core_listing=False) as platform:
        async with EnrollmentClient(platform.url, platform.token, concurrency=4) as client:
            usernames = Usernames(accounts(client))
            for _ in range(3):
                addresses = [f"new{number}@example.org" for number in range(100)]
                assert await usernames.of(addresses) == {}
        assert len(platform.requests) <= 8


async def test_a_failure_does_not_hide_what_comes_a_little_later() -> None:
    failed = asyncio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"jane" in await request(reader):
            writer.write(answer("403 Forbidden"))
            failed.set()
        else:
            await failed.wait()
            await asyncio.sleep(0.1)
            writer.write(answer("404 Not Found"))

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        found = await Usernames(accounts(client)).of(["jane@example.org", "new@example.org"])
    assert found == {"new@example.org": None}


Told = Callable[[list[str]], bytes]


@asynccontextmanager
async def telling(told: Told) -> AsyncIterator[tuple[Accounts, list[list[str]]]]:
    """Accounts of a site that tells so of the usernames asked for, and what it was asked for."""
    asked: list[list[str]] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = urlsplit((await request(reader)).split(b" ")[1].decode())
            assert target.path == f"/{ACCOUNTS}"
            asked.append(parse_qs(target.query)["username"][0].split(","))
            writer.write(told(asked[-1]))
            await writer.drain()

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        yield accounts(client), asked


def staff(names: list[str]) -> bytes:
    """What global staff are told."""
    found = [{"username": one, "email": f"{one}@example.org"} for one in names if one != "gone"]
    return answer("200 OK", json.dumps(found).encode()) if found else answer("404 Not Found")


async def test_addresses_are_asked_for_a_hundred_at_a_time() -> None:
    names = [f"learner{number}" for number in range(249)]
    async with telling(staff) as (asking, asked):
        found = await asking.addresses([*names, "gone", *names])
    assert found == {one: f"{one}@example.org" for one in names}
    assert [len(some) for some in asked] == [100, 100, 50]


async def test_long_names_make_no_request_that_web_servers_refuse() -> None:
    names = [f"{number:03}" + "ж" * 27 for number in range(100)]
    async with telling(staff) as (asking, asked):
        assert set(await asking.addresses(names)) == set(names)
    assert max(map(len, asked)) < 30


def own_account(_: list[str]) -> bytes:
    return answer("200 OK", b'[{"username": "staff", "email": "staff@example.org"}]')


def shared_fields(names: list[str]) -> bytes:
    return answer("200 OK", json.dumps([{"username": one, "bio": None} for one in names]).encode())


@pytest.mark.parametrize(
    "told",
    [
        own_account,
        shared_fields,
        lambda _: answer("403 Forbidden", b'{"detail": "no"}'),
        lambda _: answer("404 Not Found", b'{"message": "no Route matched"}'),
        lambda _: answer("500 Server Error", b"<title>Oops</title>", kind="text/html"),
        lambda _: answer("200 OK", b"<title>Sign in</title>", kind="text/html"),
        lambda _: answer("302 Found", b"", "Location: /login?next=/api"),
        lambda _: PAGE,
    ],
)
async def test_a_site_that_tells_no_addresses_is_asked_once(told: Told) -> None:
    async with telling(told) as (asking, asked):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(asking.addresses, ["jane", "joe"])
        assert await asking.addresses(["jane"]) == {}
    assert len(asked) == 1


async def test_accounts_that_are_gone_or_have_no_address_do_not_silence_the_site() -> None:
    def told(names: list[str]) -> bytes:
        if names == ["service"]:
            return answer("200 OK", b'[{"username": "service", "email": ""}]')
        return staff(names)

    async with telling(told) as (asking, _):
        assert await asking.addresses(["gone"]) == {}
        assert await asking.addresses(["service"]) == {}
        assert await asking.addresses(["jane"]) == {"jane": "jane@example.org"}


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (answer("502 Bad Gateway"), PlatformError),
        (answer("401 Unauthorized", b'{"detail": "expired"}'), AuthenticationError),
    ],
)
async def test_what_passes_silences_no_site(failing: bytes, kind: type[EnrollError]) -> None:
    coming = iter([failing])
    async with telling(lambda names: next(coming, staff(names))) as (asking, _):
        with pytest.raises(kind):
            await asking.addresses(["jane"])
        assert await asking.addresses(["jane"]) == {"jane": "jane@example.org"}


@pytest.mark.parametrize("failing", [PAGE, answer("403 Forbidden", b"{}"), answer("200 OK", b"x")])
async def test_a_site_that_told_addresses_and_does_no_more_is_an_error(failing: bytes) -> None:
    """Else a listing would have addresses in one part, and none in another."""
    async with telling(lambda names: failing if names == ["joe"] else staff(names)) as (asking, _):
        await asking.addresses(["jane"])
        with pytest.raises(EnrollError):
            await asking.addresses(["joe"])


async def test_a_refusal_is_waited_out() -> None:
    coming = iter([answer("429 Too Many Requests", b"{}", "Retry-After: 0")])
    async with telling(lambda names: next(coming, staff(names))) as (asking, asked):
        assert await asking.addresses(["jane"]) == {"jane": "jane@example.org"}
    assert len(asked) == 2


async def test_a_site_that_is_gone_is_an_error() -> None:
    async with saying(b"") as url, EnrollmentClient(url, "token") as client:
        with pytest.raises(TransportError):
            await accounts(client).addresses(["jane"])
