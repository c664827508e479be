"""Reading on any Open edX site: which listing it has, and the core list page by page."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from attrs import evolve

from async_enroll import (
    ConfigurationError,
    Enrollment,
    EnrollmentClient,
    EnrollmentQuery,
    PermissionDenied,
    PlatformError,
    RequestWindow,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.models import ListingKind
from async_enroll.platform.accounts import ACCOUNTS
from async_enroll.platform.core_listing import CORE_LIST
from async_enroll.platform.so2_listing import REPORTING_LIST
from async_enroll.sandbox import Platform
from tests.servers import answer, request, saying, talking

C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]
NOW = datetime.now(UTC)
PAGE = answer("404 Not Found", b"<title>Page not found</title>", kind="text/html")
QUERIES = [
    EnrollmentQuery(),
    EnrollmentQuery(course_id=C0),
    EnrollmentQuery(username="LEARNER1"),
    EnrollmentQuery(days=7),
    EnrollmentQuery(days=0),
    EnrollmentQuery(C1, "learner2", 4),
    EnrollmentQuery(course_id="course-v1:Org+None+2026"),
    EnrollmentQuery(username="nobody"),
]


def people(platform: Platform, learners: int = 5, courses: Sequence[str] = COURSES) -> None:
    """Courses, and learners in all of them, one more each day before the last."""
    for course_id in courses:
        platform.add_course(course_id)
    for number in range(learners):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
        for course_id in courses:
            created = NOW - timedelta(days=2 * number, minutes=1)
            platform.enroll(f"learner{number}", course_id, created=created)


@pytest.fixture
async def plain() -> AsyncIterator[Platform]:
    """A plain Open edX site without a throttle."""
    async with Platform(listing=None, window=None) as platform:
        people(platform)
        yield platform


def client_of(platform: Platform, **settings: Any) -> EnrollmentClient:
    return EnrollmentClient(platform.url, platform.token, **settings)


async def listed(client: EnrollmentClient, query: EnrollmentQuery) -> list[Enrollment]:
    asked = client.enrollments(course_id=query.course_id, username=query.username, days=query.days)
    return sorted([one async for one in asked], key=repr)


def asked(platform: Platform) -> tuple[int, int]:
    """How often MOOCit's listing was asked, and the core list."""
    paths = [logged.path.removeprefix("/") for logged in platform.requests]
    return paths.count(REPORTING_LIST), paths.count(CORE_LIST)


async def test_each_kind_gives_the_same_records() -> None:
    async with Platform(window=None) as platform:
        people(platform)
        platform.enroll("learner0", C0)
        async with (
            client_of(platform, listing="so2") as so2,
            client_of(platform, listing="core") as core,
        ):
            await so2.bulk_unenroll(["learner1"], [C0])
            for query in QUERIES:
                expected = [
                    evolve(one, email=None, created=one.created and one.created.replace(tzinfo=UTC))
                    for one in await listed(so2, query)
                ]
                # Whether addresses are told is the site's affair.
                found = [evolve(one, email=None) for one in await listed(core, query)]
                assert sorted(found, key=repr) == sorted(expected, key=repr), query
            assert len(await listed(core, EnrollmentQuery(days=7))) == 4 * 3


@pytest.mark.parametrize(
    ("kind", "has", "expected"),
    [
        ("auto", "both", (20, 0)),
        ("auto", "core", (1, 20)),
        ("so2", "both", (20, 0)),
        ("core", "both", (0, 20)),
        ("core", "core", (0, 20)),
    ],
)
async def test_the_first_query_finds_out_for_all(
    kind: ListingKind, has: str, expected: tuple[int, int]
) -> None:
    sites = {"both": Platform(window=None), "core": Platform(window=None, listing=None)}
    async with sites[has] as platform, client_of(platform, listing=kind) as client:
        people(platform, 1)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(listed, client, EnrollmentQuery(username="learner0"))
        assert asked(platform) == expected


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="listing is 'xml'; expected one of 'auto', 'so2'"):
        EnrollmentClient("https://example.org", "token", listing="xml")  # type: ignore[arg-type]  # the mistake itself


async def test_a_site_that_lists_nothing() -> None:
    async with Platform(listing=None, core_listing=False) as platform:
        async with client_of(platform) as client:
            with pytest.raises(PlatformError, match="neither as MOOCit nor as Open edX") as raised:
                await listed(client, EnrollmentQuery())
    assert raised.value.status == 404


@pytest.mark.parametrize(
    ("passing", "kind"),
    [
        ([answer("502 Bad Gateway", b"")], PlatformError),
        ([PAGE, PAGE], PlatformError),  # a proxy that knows no site for the moment
        ([PAGE, answer("503 Unavailable", b"")], PlatformError),
        ([answer("200 OK", b"<title>Maintenance</title>")], UnexpectedResponse),
    ],
)
async def test_what_passes_is_not_remembered(passing: list[bytes], kind: type[Exception]) -> None:
    coming = iter(passing)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        found = answer("200 OK", b"[]") if REPORTING_LIST.encode() in head else PAGE
        writer.write(next(coming, found))
        await writer.drain()

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        with pytest.raises(kind):
            await listed(client, EnrollmentQuery())
        assert await listed(client, EnrollmentQuery()) == []


async def test_a_site_that_is_down_is_waited_for_once() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await request(reader)

    async def query(client: EnrollmentClient) -> None:
        with pytest.raises(TransportError) as raised:
            await listed(client, EnrollmentQuery())
        errors.append(raised.value)

    errors: list[TransportError] = []
    async with talking(conversation) as url, EnrollmentClient(url, "token", timeout=0.2) as client:
        for _ in range(2):
            with anyio.fail_after(1.5):
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(query, client)
    assert len(set(map(id, errors))) == 40  # jobs add their reports to them
    assert len(set(map(str, errors))) == 1


NOT_ROUTED = [
    PAGE,
    answer("404 Not Found", b'{"message": "no Route matched with those values"}'),
    answer("404 Not Found"),
]


@pytest.mark.parametrize("missing", NOT_ROUTED)
async def test_a_404_of_any_kind_is_no_such_listing(missing: bytes) -> None:
    """An API gateway in front of a site answers JSON."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request(reader)
            found = answer("200 OK", json.dumps(page(record(1, NOW))).encode())
            writer.write(found if CORE_LIST.encode() in head else missing)
            await writer.drain()

    async with talking(conversation) as url, EnrollmentClient(url, "token") as client:
        assert [one.username for one in await listed(client, EnrollmentQuery())] == ["learner1"]
    async with saying(missing) as url, EnrollmentClient(url, "token") as client:
        with pytest.raises(PlatformError, match="neither as MOOCit nor as Open edX"):
            await listed(client, EnrollmentQuery())


async def test_a_json_404_in_the_middle_of_a_listing_is_told_as_it_is() -> None:
    failing = answer("404 Not Found", b'{"detail": "Invalid page."}')
    async with pages(page(record(1, NOW), lead="/api/x"), failing) as (client, _):
        with pytest.raises(PlatformError, match=r"^Invalid page\.$"):
            await listed(client, EnrollmentQuery())


async def test_one_who_leaves_while_finding_out_holds_up_nobody(plain: Platform) -> None:
    async with client_of(plain) as client:
        with anyio.move_on_after(0):
            await listed(client, EnrollmentQuery())
        with anyio.fail_after(2):
            assert len(await listed(client, EnrollmentQuery())) == 15


async def test_not_for_everybody(plain: Platform) -> None:
    async with EnrollmentClient(plain.url, plain.add_token(staff=False)) as client:
        with pytest.raises(PermissionDenied):
            await listed(client, EnrollmentQuery())


async def test_pages_share_the_window_with_calls() -> None:
    window = RequestWindow(12, 0.5)
    async with Platform(listing=None, window=window, seconds_per_call=0.05) as platform:
        population = platform.seed(1000, 4)
        for course_id in population.courses[:3]:
            for username in population.usernames:
                platform.enroll(username, course_id)
        async with client_of(platform, window=window) as client:
            queries = [EnrollmentQuery(course_id=key) for key in population.courses[:3]]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.bulk_enroll, population.usernames, population.courses[3:])
                found = [one async for one in client.enrollments_for(queries)]
        assert len({(one.username, one.course_id) for one in found}) == len(found) == 3000
        assert {logged.status for logged in platform.requests} == {200, 404}
        assert asked(platform) == (1, 30)
        assert platform.in_flight_peak > 1


async def test_a_refusal_is_heeded_and_the_page_is_asked_for_again() -> None:
    async with Platform(listing=None, window=RequestWindow(3, 0.2)) as platform:
        people(platform, 120, [C0])
        async with client_of(platform, window=RequestWindow(100, 0.2), listing="core") as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(listed, client, EnrollmentQuery())
        statuses = [one.status for one in platform.requests if CORE_LIST in one.path]
        assert 429 in statuses
        assert statuses.count(200) == 4


async def test_a_loop_may_write_what_it_reads(plain: Platform) -> None:
    async with client_of(plain, concurrency=1, window=RequestWindow(1000, 1)) as client:
        with anyio.fail_after(5):
            async for one in client.enrollments(course_id=C0):
                async for other in client.enrollments(username=one.username):
                    await client.bulk_unenroll([other.username], [other.course_id])
    assert not any(one.is_active for one in plain.enrollments)


async def test_recent_enrollments_do_not_cost_all_pages() -> None:
    async with Platform(listing=None, window=None) as platform:
        people(platform, 450, [C0])  # two days apart
        async with client_of(platform, listing="core") as client:
            assert len(await listed(client, EnrollmentQuery(C0, days=7))) == 4
            assert asked(platform) == (0, 1)
            assert len(await listed(client, EnrollmentQuery(C0, days=300))) == 150
            assert asked(platform) == (0, 3)


def record(number: int, created: datetime) -> dict[str, Any]:
    return {
        "created": created.isoformat(),
        "mode": "audit",
        "is_active": True,
        "user": f"learner{number}",
        "course_id": C0,
    }


@asynccontextmanager
async def pages(*said: bytes | dict[str, Any]) -> AsyncIterator[tuple[EnrollmentClient, list[str]]]:
    """A client of a site that says these pages, in turn or by number, and what it is asked for.

    The site tells of no accounts.
    """
    targets: list[str] = []
    coming = iter(said)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await request(reader)).split(b" ")[1].decode()
            if ACCOUNTS in target:
                writer.write(PAGE)
                continue
            targets.append(target)
            number = dict(parse_qsl(urlsplit(target).query)).get("page", "")
            page = said[int(number) - 1] if number.isdigit() else next(coming)
            writer.write(
                page if isinstance(page, bytes) else answer("200 OK", json.dumps(page).encode())
            )
            await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, "token", listing="core") as client:
            yield client, targets


def page(*records: dict[str, Any], lead: str | None = None, **more: Any) -> dict[str, Any]:
    return {**more, "next": lead, "previous": None, "results": list(records)}


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("inside", [True, False])
async def test_addresses_of_a_hundred_records_cost_one_request(
    numbered: bool, inside: bool
) -> None:
    """Where the site tells them; its pages are by number or by cursor."""
    accounts: list[list[str]] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = urlsplit((await request(reader)).split(b" ")[1].decode())
            query = dict(parse_qsl(target.query))
            if ACCOUNTS in target.path:
                names = query["username"].split(",")
                accounts.append(names)
                told = [{"username": one, "email": f"{one}@example.org"} for one in names]
                said: Any = [one for one in told if one["username"] != "learner7"]
            else:
                number = int(query.get("page", 0))
                lead = f"/{CORE_LIST}?page={number + 1}" if number < 2 else None
                listed = [record(100 * number + one // 2, NOW) for one in range(100)]
                more = {"count": 300, "num_pages": 3, "current_page": 1} if numbered else {}
                said = {"pagination": {"next": lead, **more}} if inside else {"next": lead, **more}
                said["results"] = listed
            writer.write(answer("200 OK", json.dumps(said).encode()))
            await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, "token", listing="core") as client:
            found = await listed(client, EnrollmentQuery())
    assert len(found) == 300
    for one in found:
        gone = one.username == "learner7"
        assert one.email == (None if gone else f"{one.username}@example.org")
    assert [len(names) for names in accounts] == [50, 50, 50]  # two records of each learner


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("tells", [True, False])
async def test_addresses_on_a_plain_site(numbered: bool, tells: bool) -> None:
    async with Platform(
        release="2025",
        window=None,
        numbered_core_pages=numbered,
        accounts_tell_addresses=tells,
    ) as platform:
        people(platform, 250, [C0])
        async with client_of(platform) as client:
            for _ in range(2):
                found = await listed(client, EnrollmentQuery(course_id=C0))
                told = {one.username: one.email for one in found}
                assert told == {
                    f"learner{number}": f"learner{number}@example.org" if tells else None
                    for number in range(250)
                }
        paths = [logged.path.removeprefix("/") for logged in platform.requests]
        assert paths.count(CORE_LIST) == 6
        assert paths.count(ACCOUNTS) == (6 if tells else 1)


async def test_a_list_is_whole_with_its_addresses_or_an_error() -> None:
    """A listing with addresses here and none there would look like other people."""
    asked = itertools.count()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request(reader)
            own = b'[{"username": "learner1", "email": "one@example.org"}]'
            accounts = answer("503 Unavailable") if next(asked) > 2 else answer("200 OK", own)
            listed = answer("200 OK", json.dumps(page(record(1, NOW), lead="?page=2")).encode())
            writer.write(accounts if ACCOUNTS.encode() in head else listed)
            await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, "token", listing="core") as client:
            records = client.enrollments()
            assert (await anext(records)).email == "one@example.org"
            with pytest.raises(PlatformError, match="503"):
                await anext(records)


def numbered_pages(count: int) -> list[dict[str, Any]]:
    """Pages of one record each."""
    counts = {"count": count, "num_pages": count}
    leads = [f"/api/x?page={number + 2}" for number in range(count - 1)]
    return [
        page(record(number, NOW), lead=lead, **counts) for number, lead in enumerate([*leads, None])
    ]


@pytest.mark.parametrize("numbered", [True, False])
async def test_numbered_pages_are_fetched_one_ahead(numbered: bool) -> None:
    listing = numbered_pages(5)
    if not numbered:
        listing = [{**one, "num_pages": None} for one in listing]
    async with pages(*listing) as (client, targets):
        records = client.enrollments()
        for expected in (1, 3, 4, 5, 5) if numbered else (1, 2, 3, 4, 5):
            await anext(records)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(5):
                while len(targets) < expected:
                    await anyio.sleep(0.001)
            assert len(targets) == expected
        assert await anext(records, None) is None
    assert sorted(targets[1:]) == [f"/api/x?page={number}" for number in range(2, 6)]


async def test_a_site_may_link_to_other_pages_than_expected() -> None:
    listing = numbered_pages(6)
    listing[2]["next"] = "/api/x?page=4&token=1"
    listing[3]["next"] = "/api/x?page=5&token=1"
    async with pages(*listing) as (client, targets):
        found = [one.username async for one in client.enrollments()]
    assert found == [f"learner{number}" for number in range(6)]
    assert targets.count("/api/x?page=4") == 1  # ahead, and in vain
    assert targets.count("/api/x?page=4&token=1") == 1
    assert len(targets) == 7


async def test_a_page_ahead_that_fails_does_so_in_its_place() -> None:
    listing: list[Any] = numbered_pages(3)
    listing[2] = {}
    async with pages(*listing) as (client, _):
        records = client.enrollments()
        assert (await anext(records)).username == "learner0"
        assert (await anext(records)).username == "learner1"
        with pytest.raises(UnexpectedResponse):
            await anext(records)


async def test_whoever_leaves_a_listing_leaves_no_page_behind() -> None:
    async with pages(*numbered_pages(9)) as (client, targets):
        async with aclosing(client.enrollments()) as records:
            await anext(records)
            await anext(records)
        assert not [task for task in asyncio.all_tasks() if "_body" in repr(task)]
        seen = len(targets)
        await anyio.sleep(0.05)
        assert len(targets) == seen <= 3


async def test_numbered_pages_are_in_no_sure_order() -> None:
    """Newer platforms number their pages (edx_rest_framework_extensions.paginators)."""
    old, new = record(1, NOW - timedelta(days=9)), record(2, NOW - timedelta(days=1))
    numbered = [page(old, lead="/api/x?page=2", count=2), page(new, count=2)]
    async with pages(*numbered) as (client, targets):
        found = await listed(client, EnrollmentQuery(days=7))
    assert [one.username for one in found] == ["learner2"]
    assert targets[1:] == ["/api/x?page=2"]


async def test_pages_by_cursor_that_are_out_of_order_are_all_read() -> None:
    old, new = record(1, NOW - timedelta(days=9)), record(2, NOW - timedelta(days=1))
    async with pages(page(new, old, old, new, old, lead="/x"), page(new)) as (client, _):
        assert len(await listed(client, EnrollmentQuery(days=7))) == 3


async def test_a_time_that_is_not_known_does_not_end_a_list() -> None:
    old, new = record(1, NOW - timedelta(days=9)), record(2, NOW - timedelta(days=1))
    timeless = {**record(3, NOW), "created": None}
    async with pages(page(new, old, timeless, lead="/x"), page(new)) as (client, _):
        assert len(await listed(client, EnrollmentQuery(days=7))) == 2


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"results": []}, "next: expected an address or null"),
        ({"next": 2, "results": []}, "next: expected an address or null"),
        ({"next": None}, "results: expected a list"),
        (answer("200 OK", b"[]"), "expected a page of enrollments"),
        (answer("200 OK", b'{"next": null, "results": [{'), "the answer is not JSON"),
        (answer("200 OK", b"<title>Welcome</title>"), "the answer is not JSON"),
        (page({"user": "jane"}), r"records\[1\]"),
        (page(lead="/api/x"), "in a circle"),
        (page(lead="https://elsewhere.example.org/api/x"), "next: expected a page of http://127"),
        (page(lead="//127.0.0.1:9/api/x"), "next: expected a page of http://127"),
        (page(lead="/api/x?\0"), "next: expected an address"),
    ],
)
async def test_a_list_that_breaks_off_is_an_error(said: Any, path: str) -> None:
    first = page(record(1, NOW), lead="/api/x")
    async with pages(*itertools.chain([first], itertools.repeat(said, 3))) as (client, targets):
        records = client.enrollments()
        assert (await anext(records)).username == "learner1"
        with pytest.raises(UnexpectedResponse, match=path):
            await anext(records)
    assert len(targets) <= 3


@pytest.mark.parametrize("status", ["500 Server Error", "504 Gateway Timeout", "404 Not Found"])
async def test_a_page_that_fails_is_an_error(status: str) -> None:
    failing = answer(status, b"<title>Oops</title>")
    async with pages(page(record(1, NOW), lead="/api/x"), failing) as (client, _):
        with pytest.raises(PlatformError, match="Oops"):
            await listed(client, EnrollmentQuery())


class Expiring:
    """A source whose first token is taken for one page."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.renewals = 0

    async def authorization(self) -> str:
        expired = self.renewals == 0 and asked(self._platform)[1] == 1
        return "Bearer expired" if expired else f"Bearer {self._platform.token}"

    async def renew(self) -> bool:
        self.renewals += 1
        return True


async def test_a_token_that_expires_between_pages_is_renewed_once() -> None:
    async with Platform(listing=None, window=RequestWindow(4, 60)) as platform:
        people(platform, 350, [C0])
        source = Expiring(platform)
        async with EnrollmentClient(platform.url, source) as client:
            with anyio.fail_after(5):  # the refused one took no place of the four
                assert len(await listed(client, EnrollmentQuery())) == 350
        assert source.renewals == 1
        assert [logged.status for logged in platform.requests].count(401) == 1


async def test_only_the_site_is_asked_though_it_names_itself_otherwise() -> None:
    """Behind a proxy a site may call itself http, without the port."""
    lead = "http://127.0.0.1/api/enrollment/v1/enrollments?page=cD0y%2Bx%3D&course_id=a%2Bb"
    async with pages(page(record(1, NOW), lead=lead), page(record(2, NOW))) as (client, targets):
        assert len(await listed(client, EnrollmentQuery())) == 2
    assert targets == [
        "/api/enrollment/v1/enrollments?page_size=100",
        "/api/enrollment/v1/enrollments?page=cD0y%2Bx%3D&course_id=a%2Bb",
    ]
