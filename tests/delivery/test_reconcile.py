"""What became of a lost call, looked up in the listing."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from async_enroll import Action, EnrollmentClient
from async_enroll.delivery.reconcile import Reconciler
from async_enroll.models import Batch, ListingKind
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.core_listing import CORE_LIST
from async_enroll.platform.so2_listing import REPORTING_LIST
from async_enroll.sandbox import Platform
from tests.servers import answer, request, talking

KINDS: list[ListingKind] = ["so2", "core"]
C0 = "course-v1:Org+C0+2026"
C1 = "course-v1:Org+C1+2026"


@pytest.fixture(params=KINDS)
async def client(
    platform: Platform, request: pytest.FixtureRequest
) -> AsyncIterator[EnrollmentClient]:
    kind: ListingKind = request.param
    async with EnrollmentClient(platform.url, platform.token, listing=kind) as client:
        yield client


@pytest.fixture
async def core(platform: Platform) -> AsyncIterator[EnrollmentClient]:
    async with EnrollmentClient(platform.url, platform.token, listing="core") as client:
        yield client


def pages(platform: Platform) -> list[str]:
    """What the core list was asked for."""
    return [logged.query for logged in platform.requests if logged.path == f"/{CORE_LIST}"]


def reconciler(client: EnrollmentClient, seconds: float = 0.3) -> Reconciler:
    accounts = Accounts(client._transport, client._throttle, client._slots)
    return Reconciler(client._reader, accounts, seconds=seconds, concurrency=4)


async def test_names_and_addresses_match_in_any_case(
    platform: Platform, client: EnrollmentClient
) -> None:
    for number in range(3):
        platform.enroll(f"learner{number}", C0)
    batch = Batch(Action.ENROLL, (C0, C1), ("LEARNER0", "Learner1@Example.org", "learner5"))
    findings = await reconciler(client).found(batch)
    assert findings == {("LEARNER0", C0), ("Learner1@Example.org", C0)}


async def test_an_unenrollment_is_seen_by_its_record(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    platform.enroll("learner1", C0)
    await client.bulk_unenroll(["learner0"], [C0])
    batch = Batch(Action.UNENROLL, (C0,), ("learner0", "learner1", "learner2"))
    findings = await reconciler(client).found(batch)
    assert findings == {("learner0", C0)}


async def test_the_wait_ends_early_when_all_is_found(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    start = anyio.current_time()
    await reconciler(client, seconds=5).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert anyio.current_time() - start < 2


async def test_the_last_look_is_taken_when_the_call_has_surely_ended(
    platform: Platform, client: EnrollmentClient
) -> None:
    async with anyio.create_task_group() as tasks:

        async def late() -> None:
            await anyio.sleep(0.25)
            platform.enroll("learner0", C0)

        tasks.start_soon(late)
        findings = await reconciler(client).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert findings == {("learner0", C0)}


async def test_one_look_serves_all_who_wait(platform: Platform, client: EnrollmentClient) -> None:
    together = reconciler(client, seconds=1)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(together.found, Batch(Action.ENROLL, (C0,), (f"other{number}",)))
    assert len(platform.requests) == 3


async def test_a_site_without_a_listing() -> None:
    async with Platform(listing=None, core_listing=False) as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            findings = await reconciler(client).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert not findings


async def test_a_look_that_is_cancelled_does_not_hold_up_who_joined_it(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    together = reconciler(client, seconds=1)
    batch = Batch(Action.ENROLL, (C0,), ("learner0",))
    leader = asyncio.ensure_future(together.found(batch))
    await anyio.sleep(0.005)
    joined = asyncio.ensure_future(together.found(batch))
    await anyio.sleep(0.105)  # both wait for the first look, which is yet to be taken
    leader.cancel()
    with anyio.fail_after(2):
        assert (await joined) == {("learner0", C0)}


async def test_a_look_at_the_core_list_asks_for_those_wanted(
    platform: Platform, core: EnrollmentClient
) -> None:
    population = platform.seed(1000, 1)
    (course,) = population.courses
    for username in population.usernames:
        platform.enroll(username, course)
    desired = (*population.usernames[:90], *population.emails[90:180])
    findings = await reconciler(core, 5).found(Batch(Action.ENROLL, (course,), desired))
    assert len(findings) == 180
    assert len(pages(platform)) == 2


async def test_what_was_found_is_not_looked_for_again(
    platform: Platform, core: EnrollmentClient
) -> None:
    for number in range(4):
        platform.enroll(f"learner{number}", C0)
    desired = tuple(f"learner{number}" for number in range(5))
    findings = await reconciler(core, 0.15).found(Batch(Action.ENROLL, (C0,), desired))
    assert findings == {(name, C0) for name in desired[:4]}
    names = [query.split("username=")[1].split("&")[0] for query in pages(platform)]
    # Twice more in that time, or once on a busy machine.
    assert names[0] == ",".join(desired)
    assert names[1:] in (["learner4"], ["learner4"] * 2)


async def test_a_name_that_cannot_be_asked_for_does_not_cost_the_whole_course(
    platform: Platform, core: EnrollmentClient
) -> None:
    """The list takes no username with a dot, as a filter; that learner stays unseen."""
    for username in platform.seed(250, 0).usernames:
        platform.enroll(username, C0)
    platform.add_user("jane.doe", "jane@example.org")
    for username in ("jane.doe", "learner0"):
        platform.enroll(username, C0)
    desired = ("Jane.Doe", "learner0", "jane@example.org", "x")
    findings = await reconciler(core).found(Batch(Action.ENROLL, (C0,), desired))
    assert findings == {("learner0", C0)}
    assert ["username=learner0&" in page for page in pages(platform)] == [True]


async def test_newcomers_alone_need_no_page(platform: Platform, core: EnrollmentClient) -> None:
    findings = await reconciler(core).found(Batch(Action.ENROLL, (C0,), ("new@example.org",)))
    assert not findings
    assert pages(platform) == []


async def test_an_account_made_meanwhile_is_found(
    platform: Platform, client: EnrollmentClient
) -> None:
    asking = reconciler(client)
    batch = Batch(Action.ENROLL, (C0,), ("new@example.org",))
    assert not await asking.found(batch)
    platform.add_user("new", "new@example.org")
    platform.enroll("new", C0)
    assert await asking.found(batch) == {("new@example.org", C0)}


async def test_one_learner_in_many_courses_is_one_question(
    platform: Platform, client: EnrollmentClient
) -> None:
    courses = [f"course-v1:Org+M{number}+2026" for number in range(50)]
    for course_id in courses:
        platform.add_course(course_id)
        platform.enroll("learner1", course_id)
    batch = Batch(Action.ENROLL, tuple(courses[:40]), ("learner1@example.org",))
    assert len(await reconciler(client, seconds=5).found(batch)) == 40
    assert len(platform.requests) == 2  # who it is, and where they are


async def test_a_few_learners_do_not_cost_the_whole_course(platform: Platform) -> None:
    for username in platform.seed(500, 0).usernames:
        platform.enroll(username, C0)
    platform.enroll("learner1", C0)
    platform.enroll("learner2", C0)
    desired = ("learner1@example.org", "LEARNER2", "nobody", "new@example.org")
    async with EnrollmentClient(platform.url, platform.token, listing="so2") as client:
        findings = await reconciler(client).found(Batch(Action.ENROLL, (C0,), desired))
    assert findings == {(name, C0) for name in desired[:2]}
    listed = [one.query for one in platform.requests if one.path == f"/{REPORTING_LIST}"]
    assert sorted(set(listed)) == ["username=LEARNER2", "username=learner1", "username=nobody"]


RECORDS = [
    {
        "username": f"learner{number}",
        "email": f"learner{number}@example.org",
        "course_id": C0,
        "is_active": True,
        "mode": "audit",
        "created": "2026-03-09 20:15",
    }
    for number in range(30)
]


@asynccontextmanager
async def site(
    said: Callable[[str], bytes | AsyncIterator[bytes]], listing: ListingKind
) -> AsyncIterator[tuple[EnrollmentClient, list[str]]]:
    """A client of a site that says so to what it is asked for, and what that was."""
    asked: list[str] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await request(reader)).split(b" ")[1].decode()
            asked.append(target)
            reply = said(target)
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                async for piece in reply:
                    writer.write(piece)
                    await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, "token", listing=listing) as client:
            yield client, asked


async def test_where_nobody_tells_whose_an_address_is_the_course_is_read() -> None:
    def said(target: str) -> bytes:
        if REPORTING_LIST not in target:
            return answer("403 Forbidden", b"{}")
        assert target == f"/{REPORTING_LIST}?course_id={C0.replace('+', '%2B')}"
        return answer("200 OK", json.dumps(RECORDS).encode())

    async with site(said, "so2") as (client, _):
        batch = Batch(Action.ENROLL, (C0,), ("learner1@example.org", "learner2"))
        assert len(await reconciler(client).found(batch)) == 2


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request"])
async def test_where_a_learner_cannot_be_asked_for_the_course_is_read(status: str) -> None:
    """What MOOCit answers of a learner whom it does not know is not documented."""

    def said(target: str) -> bytes:
        if "username=nobody" in target:
            return answer(status, b'{"detail": "No such user."}')
        return answer("200 OK", json.dumps(RECORDS if "course_id" in target else []).encode())

    async with site(said, "so2") as (client, _):
        batch = Batch(Action.ENROLL, (C0,), ("nobody", "learner2"))
        assert await reconciler(client).found(batch) == {("learner2", C0)}


def endless(target: str) -> bytes | AsyncIterator[bytes]:
    """A listing without end: records drip, or pages lead to pages."""

    async def dripping() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[" + json.dumps(RECORDS[1]).encode()
        for number in itertools.count():
            yield b"," + json.dumps({**RECORDS[0], "username": f"other{number}"}).encode()
            await anyio.sleep(0.01)

    if REPORTING_LIST in target:
        return dripping()
    found = {**RECORDS[1], "user": "learner1"}
    number = int(target.partition("page=")[2] or 1)
    said = {"next": f"/{CORE_LIST}?page={number + 1}", "results": [found]}
    return answer("200 OK", json.dumps(said).encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [2, 30])
async def test_a_listing_without_end_is_given_up(kind: ListingKind, number: int) -> None:
    """What was seen of it until then is seen."""
    async with site(endless, kind) as (client, asked):
        names = tuple(f"learner{one}" for one in range(1, number + 1))
        with anyio.fail_after(6):
            findings = await reconciler(client, 1).found(Batch(Action.ENROLL, (C0,), names))
    assert findings == {("learner1", C0)}
    if kind == "so2":
        assert len(asked) == 1  # and not begun again


async def test_a_large_course_is_read_twice_at_most() -> None:
    some = b",".join(json.dumps({**RECORDS[0], "username": f"u{n}"}).encode() for n in range(6000))

    async with site(lambda _: answer("200 OK", b"[%b]" % some), "so2") as (client, asked):
        names = tuple(f"learner{number}" for number in range(30))
        await reconciler(client, 2).found(Batch(Action.ENROLL, (C0,), names))
        assert len(asked) == 2


async def test_looks_are_taken_one_after_the_other() -> None:
    """However many calls were lost: those who wait meanwhile share the next."""
    reading = most = 0

    async def slowly() -> AsyncIterator[bytes]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await anyio.sleep(0.3)
        reading -= 1
        yield answer("200 OK", json.dumps(RECORDS).encode())

    async with site(lambda _: slowly(), "so2") as (client, asked):
        together = reconciler(client, 5)

        async def lose(number: int) -> None:
            names = tuple(f"learner{one}" for one in range(20))
            await anyio.sleep(0.05 * number)
            assert len(await together.found(Batch(Action.ENROLL, (C0,), names))) == 20

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(lose, number)
    assert most == 1
    assert len(asked) < 8


async def test_a_filter_that_is_not_heeded_misleads_nobody() -> None:
    """Who is listed without having been asked for is not taken for somebody else."""
    other = b'{"created": "2026-01-01T00:00:00Z", "mode": "audit", "is_active": true, "user": "joe"'
    said = b'{"next": null, "previous": null, "results": [%b, "course_id": "%b"}]}'

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request(reader)
            own = b'[{"username": "joe", "email": "joe@example.org"}]'
            body = own if b"accounts" in head else said % (other, C1.encode())
            writer.write(answer("200 OK", body))
            await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, "token", listing="core") as client:
            batch = Batch(Action.ENROLL, (C0,), ("jane", "jane@example.org", "joe"))
            findings = await reconciler(client).found(batch)
    assert not findings


async def test_of_cohorts_no_listing_tells(platform: Platform, client: EnrollmentClient) -> None:
    platform.enroll("learner0", C0)
    batch = Batch(Action.ENROLL, (C0,), ("learner0",), ("red",))
    findings = await reconciler(client).found(batch)
    assert not findings
    assert platform.requests == []


@pytest.mark.parametrize(("asked", "told"), [("straße", "strasse"), ("oﬃce", "office")])
async def test_names_that_only_look_alike_are_not_one(asked: str, told: str) -> None:
    listed = json.dumps([{**RECORDS[0], "username": told}]).encode()
    async with site(lambda _: answer("200 OK", listed), "so2") as (client, _):
        assert not await reconciler(client).found(Batch(Action.ENROLL, (C0,), (asked,)))


async def test_a_name_matches_in_any_normal_form() -> None:
    listed = json.dumps([{**RECORDS[0], "username": "zo\u00eb"}]).encode()
    async with site(lambda _: answer("200 OK", listed), "so2") as (client, _):
        findings = await reconciler(client).found(Batch(Action.ENROLL, (C0,), ("ZOE\u0308",)))
    assert findings == {("ZOE\u0308", C0)}
