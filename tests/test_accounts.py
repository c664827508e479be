"""The usernames behind addresses."""

import anyio
import pytest

from async_enroll import EnrollmentClient
from async_enroll.accounts import Accounts
from async_enroll.sandbox import Platform
from tests.servers import answer, saying

JANE = b'[{"username": "jane", "email": "Jane@example.org", "bio": null}]'


def accounts(client: EnrollmentClient) -> Accounts:
    return Accounts(client._transport, client._throttle, client._slots)


async def test_each_address_is_asked_about_once(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.add_user("plus", "a+b@example.org")
    asking = accounts(client)
    found: list[dict[str, str]] = []

    async def ask() -> None:
        addresses = ["LEARNER1@example.org", "learner1@EXAMPLE.org", "a+b@example.org", "new@x.org"]
        found.append(await asking.usernames(addresses))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert found == 5 * [
        {
            "LEARNER1@example.org": "learner1",
            "learner1@EXAMPLE.org": "learner1",
            "a+b@example.org": "plus",
        }
    ]
    assert len(platform.requests) == 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer("200 OK", JANE), "jane"),
        # Before it could be asked by address, the platform told of the token's own user.
        (answer("200 OK", b'[{"username": "staff", "email": "staff@example.org"}]'), None),
        (answer("200 OK", b'[{"username": "jane"}]'), None),
        (answer("200 OK", b"[]"), None),
        (answer("200 OK", b'{"username": "jane"}'), None),
        (answer("404 Not Found"), None),
        (answer("403 Forbidden", b'{"detail": "no"}'), None),
        (answer("404 Not Found", b"<title>Page not found</title>", kind="text/html"), None),
        (b"", None),
    ],
)
async def test_what_is_not_sure_is_not_told(said: bytes, expected: str | None) -> None:
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        found = await accounts(client).usernames(["jane@example.org"])
    assert found.get("jane@example.org") == expected


async def test_a_site_that_fails_is_not_asked_about_everybody() -> None:
    asked = 0
    async with Platform(core_listing=False) as platform:
        async with EnrollmentClient(platform.url, platform.token, concurrency=4) as client:
            asking = accounts(client)
            addresses = [f"new{number}@example.org" for number in range(100)]
            assert await asking.usernames(addresses) == {}
        asked = len(platform.requests)
    assert asked <= 8
