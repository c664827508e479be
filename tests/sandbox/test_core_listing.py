"""Open edX's own list of enrollments, and its accounts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from async_enroll.models import RequestWindow
from async_enroll.sandbox import Platform
from tests.sandbox.raw import C1, C2, LISTING, MISSING, Raw, small_platform, speaking_to
from tests.waiting import run

CORE = "/api/enrollment/v1/enrollments"
ACCOUNTS = "/api/user/v1/accounts"
ME = "/api/user/v1/me"
ENCODED_C1 = "course-v1:Org%2BOne%2B2026"
EARLY = datetime(2021, 3, 9, 20, 15)


@pytest.fixture
async def core() -> AsyncIterator[Raw]:
    async with small_platform(release="2025") as platform, speaking_to(platform) as raw:
        platform.enroll("Jane", C1, created=EARLY)
        platform.enroll("joe", C1, created=EARLY + timedelta(days=1))
        platform.enroll("Jane", C2, created=EARLY + timedelta(days=2))
        yield raw


async def pages(raw: Raw, query: str) -> list[list[dict[str, Any]]]:
    """Follow the pages to the last."""
    found = []
    target: str | None = f"{CORE}?{query}"
    while target:
        answer = await raw.request("GET", target)
        assert answer.status == 200, answer
        found.append(answer.json["results"])
        lead = answer.json["next"]
        target = lead and URL(lead, encoded=True).raw_path_qs
    return found


async def test_a_page(core: Raw) -> None:
    answer = await core.request("GET", f"{CORE}?course_id={ENCODED_C1}&page_size=1")
    assert answer.json["previous"] is None
    assert answer.json["results"] == [
        {
            "created": "2021-03-10T20:15:00Z",
            "mode": "audit",
            "is_active": True,
            "user": "joe",
            "course_id": C1,
        }
    ]
    lead = URL(answer.json["next"], encoded=True)
    assert str(lead.origin()) == core.url
    assert "%2B" in lead.raw_query_string
    assert set(lead.query) == {"course_id", "page_size", "cursor"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [("Jane", C2), ("joe", C1), ("Jane", C1)]),
        (f"course_id={ENCODED_C1}", [("joe", C1), ("Jane", C1)]),
        ("username=JANE", [("Jane", C2), ("Jane", C1)]),
        ("username=jane,Jane,nobody", [("Jane", C2), ("Jane", C1)]),
        (f"username=Jane,joe&course_id={ENCODED_C1}", [("joe", C1), ("Jane", C1)]),
        (f"course_id={MISSING.replace('+', '%2B')}", []),
        ("username=nobody", []),
    ],
)
async def test_filters(core: Raw, query: str, expected: list[tuple[str, str]]) -> None:
    records = [record for page in await pages(core, query) for record in page]
    assert [(record["user"], record["course_id"]) for record in records] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("course_id=nonsense", "course_id"),
        ("username=Jane,", "username"),
        ("username=Zo%C3%AB", "username"),
        ("username=jane,jane@example.org", "username"),
        ("username=" + ",".join(f"learner{number}" for number in range(101)), "username"),
    ],
)
async def test_filters_that_are_refused(core: Raw, query: str, field: str) -> None:
    answer = await core.request("GET", f"{CORE}?{query}")
    assert answer.status == 400
    assert list(answer.json) == ["field_errors"]
    assert list(answer.json["field_errors"]) == [field]


async def test_a_cursor_that_is_none_of_ours(core: Raw) -> None:
    answer = await core.request("GET", f"{CORE}?cursor=x")
    assert (answer.status, answer.json) == (404, {"detail": "Invalid cursor"})


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 30), st.integers(1, 12), st.integers(0, 3))
def test_pages_hold_every_record_once(learners: int, size: int, late: int) -> None:
    async def follow() -> None:
        platform = Platform(release="2026", window=None)
        population = platform.seed(learners + late, 1)
        (course,) = population.courses
        names = population.usernames
        for number, name in enumerate(names[:learners]):
            # A third of them in one minute: `created` alone is no place.
            platform.enroll(name, course, created=EARLY + timedelta(minutes=number // 3))
        async with platform, speaking_to(platform) as raw:
            first = (await raw.request("GET", f"{CORE}?page_size={size}")).json
            for name in names[learners:]:
                platform.enroll(name, course)
            lead = first["next"]
            rest = await pages(raw, URL(lead, encoded=True).raw_query_string) if lead else []
        found = [record["user"] for page in [first["results"], *rest] for record in page]
        assert sorted(found) == sorted(names[:learners])

    run(follow())


@pytest.mark.parametrize("asked", ["", "page_size=0", "page_size=x", "page_size=1000"])
async def test_a_page_holds_a_hundred(asked: str) -> None:
    async with (
        Platform(release="2026", window=None) as platform,
        speaking_to(platform) as raw,
    ):
        population = platform.seed(101, 1)
        for name in population.usernames:
            platform.enroll(name, population.courses[0], created=datetime.now(UTC))
        assert [len(page) for page in await pages(raw, asked)] == [100, 1]


async def test_the_list_is_for_staff_and_the_window_is_that_of_bulk_calls() -> None:
    async with (
        small_platform(window=RequestWindow(2, 60)) as platform,
        speaking_to(platform) as raw,
    ):
        learner = raw.using(platform.add_token(staff=False))
        assert (await raw.using(None).request("GET", CORE)).status == 401
        assert (await learner.request("GET", CORE)).status == 403
        assert (await raw.request("POST", CORE)).status == 405
        assert (await raw.bulk("Jane", C1)).status == 200
        refused = await raw.request("GET", CORE)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert (await raw.bulk("Jane", C1)).status == 429
        assert (await raw.request("GET", LISTING)).status == 200


async def test_accounts_by_address() -> None:
    async with small_platform(window=None) as platform, speaking_to(platform) as raw:
        platform.add_user("plus", "a+b@example.org")
        found = await raw.request("GET", f"{ACCOUNTS}?email=JANE@example.org")
        jane = {"username": "Jane", "email": "Jane@example.org", "is_active": True}
        assert found.json == [jane]
        found = await raw.request("GET", f"{ACCOUNTS}?email=a%2Bb@example.org")
        assert found.json[0]["username"] == "plus"
        for address in ("new@example.org", "Jane", "Jane@example.org,joe@example.org"):
            unknown = await raw.request("GET", f"{ACCOUNTS}?email={address}")
            assert (unknown.status, unknown.body) == (404, b"")
        assert list((await raw.request("GET", ACCOUNTS)).json[0]) == ["username"]
        learner = raw.using(platform.add_token(staff=False))
        found = await learner.request("GET", f"{ACCOUNTS}?email=joe@example.org")
        assert found.json == [{"username": "joe"}]
        assert (await raw.using(None).request("GET", ACCOUNTS)).status == 401


async def test_accounts_by_name() -> None:
    async with small_platform(window=None) as platform, speaking_to(platform) as raw:
        found = await raw.request("GET", f"{ACCOUNTS}?username=JOE,nobody,Jane,joe")
        assert found.json == [
            {"username": "joe", "email": "joe@example.org", "is_active": True},
            {"username": "Jane", "email": "Jane@example.org", "is_active": True},
        ]
        assert (await raw.request("GET", f"{ACCOUNTS}?username=nobody")).status == 404


async def test_a_site_that_tells_nobody_addresses() -> None:
    async with (
        small_platform(accounts_tell_addresses=False) as platform,
        speaking_to(platform) as raw,
    ):
        found = await raw.request("GET", f"{ACCOUNTS}?username=joe,Jane")
        assert found.json == [{"username": "joe"}, {"username": "Jane"}]


async def test_the_account_of_a_retired_address() -> None:
    async with small_platform() as platform, speaking_to(platform) as raw:
        platform.add_retired_user("former", "gone@example.org")
        found = await raw.request("GET", f"{ACCOUNTS}?email=gone@example.org")
        assert (found.status, list(found.json)) == (404, ["error_msg"])


async def test_whose_the_token_is() -> None:
    async with small_platform(username="boss") as platform, speaking_to(platform) as raw:
        assert (await raw.request("GET", ME)).json == {"username": "boss"}
        learner = raw.using(platform.add_token(staff=False, username="joe"))
        assert (await learner.request("GET", ME)).json == {"username": "joe"}
        assert (await raw.using(None).request("GET", ME)).status == 401


@pytest.mark.parametrize(("release", "asked"), [("2022", 3), ("2025", 1), ("2026", 1)])
async def test_addresses_filter_since_2025(release: str, asked: int) -> None:
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        platform.enroll("Jane", C1)
        platform.enroll("Jane", C2)
        platform.enroll("joe", C1)
        found = (await raw.request("GET", f"{CORE}?email=JOE@example.org,x@y.org")).json
        assert len(found["results"]) == asked
        found = (await raw.request("GET", f"{CORE}?page_size=1")).json
        assert len(found["results"]) == asked


async def test_pages_by_number() -> None:
    async with (
        small_platform(release="2025", numbered_core_pages=True) as platform,
        speaking_to(platform) as raw,
    ):
        for learner, course_id in (("Jane", C1), ("joe", C1), ("Jane", C2)):
            platform.enroll(learner, course_id)
        first = (await raw.request("GET", f"{CORE}?page_size=2")).json
        assert (first["count"], first["num_pages"], first["previous"]) == (3, 2, None)
        target = URL(first["next"], encoded=True).raw_path_qs
        second = (await raw.request("GET", target)).json
        assert (second["current_page"], second["start"], second["next"]) == (2, 2, None)
        assert [len(page["results"]) for page in (first, second)] == [2, 1]
        for number in ("0", "3", "x"):
            answer = await raw.request("GET", f"{CORE}?page_size=2&page={number}")
            assert (answer.status, answer.json) == (404, {"detail": "Invalid page."})


async def test_a_site_without_them() -> None:
    async with Platform(core_listing=False) as platform, speaking_to(platform) as raw:
        for path in (CORE, ACCOUNTS, ME):
            answer = await raw.request("GET", path)
            assert (answer.status, answer.is_page) == (404, True)
