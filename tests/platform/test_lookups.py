"""Looking up many accounts: which there are, which there are not, and where nobody can tell."""

from typing import Any

import pytest

from async_enroll import EnrollmentClient, PlatformError
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.lookups import look_up
from async_enroll.sandbox import Platform
from tests.jobs.between import between, broken
from tests.platform.test_accounts import accounts
from tests.servers import answer, saying


async def test_accounts_of_addresses_and_names(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.add_user("Zoë", "zoé@example.org", active=False)
    some = [f"learner{number}" for number in range(10)]
    unknown = [f"nobody{number}" for number in range(150)]
    asked = [*some, *unknown, "LEARNER1@example.org", "new@example.org", "zoe", "zoe@example.org"]
    found = await look_up(accounts(client), asked, "staff", concurrency=3)
    assert not found.failed
    assert found.available
    assert {key for key, account in found.known.items() if account is None} == {
        *unknown,
        "new@example.org",
    }
    for key in ("zoe", "zoe@example.org"):
        account = found.known[key]
        assert account
        assert (account.username, account.is_active) == ("Zoë", False)
    assert len(platform.requests) == 2 + 3  # 100 names each, and three addresses


@pytest.mark.parametrize(
    ("said", "own", "available"),
    [
        (answer("200 OK", b'[{"username": "staff"}]'), "staff", False),
        (answer("200 OK", b'[{"username": "jane"}]'), None, False),
        (answer("200 OK", b'[{"username": "jane", "email": "other@example.org"}]'), "staff", False),
        (answer("200 OK", b"{}"), "staff", False),
        (answer("403 Forbidden", b'{"detail": "no"}'), "staff", False),
        (answer("404 Not Found", b"<title>Not found</title>", kind="text/html"), "staff", False),
        (answer("500 Error", b"<title>Error</title>", kind="text/html"), "staff", True),
        (b"", "staff", True),
    ],
)
async def test_what_tells_nothing(said: bytes, own: str | None, available: bool) -> None:
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        found = await look_up(accounts(client), ["jane@example.org"], own, concurrency=1)
    assert found.known == {}
    assert found.failed == {"jane@example.org"}
    assert found.available is available
    assert found.error


async def test_an_account_without_an_address_is_taken_unless_it_is_ones_own() -> None:
    said = answer("200 OK", b'[{"username": "jane"}]')
    async with saying(said) as url, EnrollmentClient(url, "token") as client:
        found = await look_up(accounts(client), ["jane@example.org"], "staff", concurrency=1)
    account = found.known["jane@example.org"]
    assert account
    assert account.username == "jane"


async def test_after_many_failures_no_more_are_asked_for(platform: Platform) -> None:
    asked = 0

    async def fail(*_: Any) -> Any:
        nonlocal asked
        asked += 1
        return broken()

    async with between(platform, before=fail) as url, EnrollmentClient(url, "token") as client:
        some = [f"new{number}@example.org" for number in range(100)]
        found = await look_up(
            Accounts(client._transport, client._throttle, client._slots),
            some,
            "staff",
            concurrency=4,
        )
    assert found.failed == set(some)
    assert isinstance(found.error, PlatformError)
    assert 20 <= asked <= 24
