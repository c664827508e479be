"""The enrollment listing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from async_enroll.models import Enrollment, EnrollmentQuery
from async_enroll.sandbox import ListingForm, Platform
from async_enroll.sandbox.domain.population import populate
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.storage.rows import Course, User
from async_enroll.sandbox.views.listing import content, encoded, matching
from tests.sandbox.raw import C1, C2, LISTING, MISSING, Raw, small_platform, speaking_to
from tests.waiting import until

ENCODED_C1 = "course-v1:Org%2BOne%2B2026"


def fill(platform: Platform) -> None:
    now = datetime.now(UTC)
    platform.enroll("Jane", C1, created=datetime(2021, 3, 9, 20, 15, 59))
    platform.enroll("Jane", C2, created=now - timedelta(days=3, hours=1))
    platform.enroll("joe", C1, created=now - timedelta(hours=23))


@pytest.fixture
async def listing() -> AsyncIterator[Raw]:
    async with small_platform() as platform, speaking_to(platform) as raw:
        fill(platform)
        yield raw


async def pairs(raw: Raw, query: str) -> list[tuple[str, str]]:
    answer = await raw.request("GET", f"{LISTING}?{query}")
    assert answer.status == 200
    return [(record["username"], record["course_id"]) for record in answer.json]


async def test_a_record(listing: Raw) -> None:
    answer = await listing.request("GET", LISTING)
    assert len(answer.json) == 3
    assert answer.json[0] == {
        "username": "Jane",
        "email": "Jane@example.org",
        "course_id": C1,
        "is_active": True,
        "mode": "audit",
        "created": "2021-03-09 20:15",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [("Jane", C1), ("joe", C1), ("Jane", C2)]),
        (f"course_id={ENCODED_C1}", [("Jane", C1), ("joe", C1)]),
        ("username=Jane", [("Jane", C1), ("Jane", C2)]),
        ("username=JANE", [("Jane", C1), ("Jane", C2)]),
        ("username=jane@example.org", []),
        ("days=1", [("joe", C1)]),
        ("days=4", [("joe", C1), ("Jane", C2)]),
        ("days=99999", [("Jane", C1), ("joe", C1), ("Jane", C2)]),
        (f"course_id={ENCODED_C1}&username=Jane", [("Jane", C1)]),
        (f"course_id={ENCODED_C1}&days=4", [("joe", C1)]),
        (f"course_id={ENCODED_C1}&username=Jane&days=4", []),
        (f"course_id={MISSING.replace('+', '%2B')}", []),
        ("username=nobody", []),
        # A plus is a space.
        (f"course_id={C1}", []),
    ],
)
async def test_filters(listing: Raw, query: str, expected: list[tuple[str, str]]) -> None:
    assert await pairs(listing, query) == expected


@pytest.mark.parametrize("days", ["x", "1.5", "-1", "%C2%B2", "999999"])
async def test_days_is_a_number(listing: Raw, days: str) -> None:
    answer = await listing.request("GET", f"{LISTING}?days={days}")
    assert (answer.status, answer.json) == (400, {"days": ["A valid integer is required."]})


async def test_wants_a_staff_token(platform: Platform, raw: Raw) -> None:
    learner = platform.add_token(staff=False)
    assert (await raw.using(None).request("GET", LISTING)).status == 401
    assert (await raw.using("wrong").request("GET", LISTING)).status == 401
    assert (await raw.using(learner).request("GET", LISTING)).status == 403


@pytest.mark.parametrize("missing", ["Access-Control-Request-Headers", "Content-Type"])
async def test_wants_its_headers(raw: Raw, missing: str) -> None:
    answer = await raw.request("GET", LISTING, headers={missing: ""})
    assert answer.status == 400
    assert missing in answer.json["detail"]


async def test_takes_get_only(raw: Raw) -> None:
    answer = await raw.request("POST", LISTING)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_on_plain_open_edx_there_is_none() -> None:
    async with small_platform(listing=None) as platform, speaking_to(platform) as raw:
        for caller in (raw, raw.using(None)):
            answer = await caller.request("GET", LISTING)
            assert (answer.status, answer.is_page) == (404, True)
        assert (await raw.bulk("Jane", C1)).status == 200


async def test_is_not_throttled(raw: Raw) -> None:
    assert {(await raw.request("GET", LISTING)).status for _ in range(130)} == {200}


async def test_commas() -> None:
    async with (
        small_platform(listing=ListingForm.COMMAS) as platform,
        speaking_to(platform) as raw,
    ):
        assert (await raw.request("GET", LISTING)).body == b""
        fill(platform)
        body = (await raw.request("GET", LISTING)).body
    assert body.startswith(b"{")
    assert msgspec.json.decode(b"[" + body + b"]") == [content(row) for row in platform.enrollments]


async def test_lines() -> None:
    async with small_platform(listing=ListingForm.LINES) as platform, speaking_to(platform) as raw:
        assert (await raw.request("GET", LISTING)).body == b""
        fill(platform)
        body = (await raw.request("GET", LISTING)).body
    assert body.endswith(b"}\n")
    assert [msgspec.json.decode(line) for line in body.splitlines()] == [
        content(row) for row in platform.enrollments
    ]


async def test_pages() -> None:
    async with (
        small_platform(listing=ListingForm.PAGES, page_size=1) as platform,
        speaking_to(platform) as raw,
    ):
        empty = (await raw.request("GET", LISTING)).json
        assert empty == {"count": 0, "next": None, "previous": None, "results": []}
        fill(platform)
        first = (await raw.request("GET", f"{LISTING}?course_id={ENCODED_C1}&days=99999")).json
        assert (first["count"], first["previous"]) == (2, None)
        following = URL(first["next"], encoded=True)
        assert str(following.origin()) == platform.url
        assert "%2B" in following.raw_query_string
        assert dict(following.query) == {"course_id": C1, "days": "99999", "page": "2"}
        second = (await raw.request("GET", following.raw_path_qs)).json
        assert (second["count"], second["next"]) == (2, None)
        assert URL(second["previous"]).query["page"] == "1"
        names = [record["username"] for page in (first, second) for record in page["results"]]
        assert names == ["Jane", "joe"]
        for number in ("0", "4"):
            answer = await raw.request("GET", f"{LISTING}?page={number}")
            assert (answer.status, answer.json) == (404, {"detail": "Invalid page."})


@pytest.mark.parametrize(
    ("created", "told"),
    [
        (datetime(2021, 3, 9, 20, 15, 59, 999), datetime(2021, 3, 9, 20, 15)),
        (
            datetime(2021, 3, 9, 20, 15, tzinfo=timezone(timedelta(hours=2))),
            datetime(2021, 3, 9, 18, 15),
        ),
    ],
)
def test_created_is_in_utc_to_the_minute(created: datetime, told: datetime) -> None:
    platform = small_platform()
    platform.enroll("Jane", C1, created=created)
    assert platform.enrollments == [Enrollment("Jane", "Jane@example.org", C1, True, "audit", told)]


def rows(count: int) -> list[Enrollment]:
    row = Enrollment("jane", "jane@example.org", C1, True, "audit", datetime(2021, 3, 9, 20, 15))
    return [row] * count


DECODERS: dict[ListingForm, Any] = {
    ListingForm.ARRAY: msgspec.json.decode,
    ListingForm.COMMAS: lambda body: msgspec.json.decode(b"[" + body + b"]"),
    ListingForm.LINES: lambda body: [msgspec.json.decode(line) for line in body.splitlines()],
}


@settings(deadline=None)
@given(st.sampled_from(list(DECODERS)), st.integers(0, 3) | st.integers(498, 1002))
def test_every_form_holds_every_record(form: ListingForm, count: int) -> None:
    pieces = list(encoded(iter(rows(count)), form))
    assert DECODERS[form](b"".join(pieces)) == [content(row) for row in rows(count)]
    assert max(map(len, pieces)) < 100_000


def test_learners_and_courses_may_come_while_it_is_on_its_way() -> None:
    database = Database()
    population = populate(database, learners=2, courses=2)
    for rows in database.all_rows():
        rows.enroll(User("jane", "jane@example.org"), datetime(2021, 3, 9))
    records = matching(database, EnrollmentQuery())
    assert next(records).course_id == population.courses[0]
    database.add_course(Course(C1, frozenset(), forbidden=False))
    for rows in database.all_rows():
        rows.enroll(User("joe", "joe@example.org"), datetime(2021, 3, 9))
    assert [(row.username, row.course_id) for row in records] == [
        ("jane", population.courses[1]),
        ("joe", population.courses[1]),
    ]


async def test_a_reader_may_leave() -> None:
    async with Platform() as platform, speaking_to(platform) as raw:
        population = platform.seed(learners=20_000, courses=2)
        for course in population.courses:
            for username in population.usernames:
                platform.enroll(username, course)
        async with raw.session.get(raw.url + LISTING, headers=raw.headers) as response:
            await response.content.readexactly(1)
            response.close()
        answer = await raw.request("GET", f"{LISTING}?days=0&username=nobody")
        assert answer.json == []
    assert len(platform.requests) == 2


async def test_a_reader_that_leaves_before_its_turn() -> None:
    async with Platform(workers=1, seconds_per_call=0.2) as platform, speaking_to(platform) as raw:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(raw.bulk, "jane", C1)
            await anyio.sleep(0.05)
            with anyio.move_on_after(0.05):
                await raw.request("GET", LISTING)
        await until(lambda: len(platform.requests) == 2)  # at its turn, nobody is there
