"""What became of a lost call, looked up in the listing."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from async_enroll import Action, EnrollmentClient
from async_enroll.accounts import Accounts
from async_enroll.core import CORE_LIST
from async_enroll.models import Batch, ListingKind
from async_enroll.sandbox import Platform
from async_enroll.settling import Settling
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


def settling(client: EnrollmentClient, seconds: float = 0.3) -> Settling:
    accounts = Accounts(client._transport, client._throttle, client._slots)
    return Settling(client._reader, accounts, seconds=seconds, concurrency=4)


async def test_names_and_addresses_match_in_any_case(
    platform: Platform, client: EnrollmentClient
) -> None:
    for number in range(3):
        platform.enroll(f"learner{number}", C0)
    batch = Batch(Action.ENROLL, (C0, C1), ("LEARNER0", "Learner1@Example.org", "learner5"))
    findings = await settling(client).found(batch)
    assert findings == {("LEARNER0", C0), ("Learner1@Example.org", C0)}


async def test_an_unenrollment_is_seen_by_its_record(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    platform.enroll("learner1", C0)
    await client.bulk_unenroll(["learner0"], [C0])
    batch = Batch(Action.UNENROLL, (C0,), ("learner0", "learner1", "learner2"))
    findings = await settling(client).found(batch)
    assert findings == {("learner0", C0)}


async def test_the_wait_ends_early_when_all_is_found(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    start = anyio.current_time()
    await settling(client, seconds=5).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert anyio.current_time() - start < 2


async def test_the_last_look_is_taken_when_the_call_has_surely_ended(
    platform: Platform, client: EnrollmentClient
) -> None:
    async with anyio.create_task_group() as tasks:

        async def late() -> None:
            await anyio.sleep(0.25)
            platform.enroll("learner0", C0)

        tasks.start_soon(late)
        findings = await settling(client).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert findings == {("learner0", C0)}


async def test_one_look_serves_all_who_wait(platform: Platform, client: EnrollmentClient) -> None:
    together = settling(client)
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(together.found, Batch(Action.ENROLL, (C0,), (f"learner{number}",)))
    assert len(platform.requests) == 3


async def test_a_site_without_a_listing() -> None:
    async with Platform(listing=None, core_listing=False) as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            findings = await settling(client).found(Batch(Action.ENROLL, (C0,), ("learner0",)))
    assert not findings


async def test_a_look_that_is_cancelled_does_not_hold_up_who_joined_it(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    together = settling(client, seconds=1)
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
    wanted = (*population.usernames[:90], *population.emails[90:180])
    findings = await settling(core, 0.15).found(Batch(Action.ENROLL, (course,), wanted))
    assert len(findings) == 180
    assert len(pages(platform)) == 2


async def test_what_was_found_is_not_looked_for_again(
    platform: Platform, core: EnrollmentClient
) -> None:
    for number in range(4):
        platform.enroll(f"learner{number}", C0)
    wanted = tuple(f"learner{number}" for number in range(5))
    findings = await settling(core, 0.15).found(Batch(Action.ENROLL, (C0,), wanted))
    assert findings == {(name, C0) for name in wanted[:4]}
    names = [query.split("username=")[1].split("&")[0] for query in pages(platform)]
    assert names == [",".join(wanted), "learner4", "learner4"]


async def test_a_name_that_cannot_be_asked_for_is_looked_for_all_the_same(
    platform: Platform, core: EnrollmentClient
) -> None:
    platform.add_user("jane.doe", "jane@example.org")
    platform.enroll("jane.doe", C0)
    platform.enroll("learner0", C0)
    wanted = ("Jane.Doe", "learner0", "jane@example.org", "x")
    findings = await settling(core, 0.15).found(Batch(Action.ENROLL, (C0,), wanted))
    assert findings == {(name, C0) for name in wanted[:3]}


async def test_newcomers_alone_need_no_page(platform: Platform, core: EnrollmentClient) -> None:
    findings = await settling(core, 0.15).found(Batch(Action.ENROLL, (C0,), ("new@example.org",)))
    assert not findings
    assert pages(platform) == []
    assert len(platform.requests) == 1


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
            findings = await settling(client).found(batch)
    assert not findings


async def test_of_cohorts_no_listing_tells(platform: Platform, client: EnrollmentClient) -> None:
    platform.enroll("learner0", C0)
    batch = Batch(Action.ENROLL, (C0,), ("learner0",), ("red",))
    findings = await settling(client).found(batch)
    assert not findings
    assert platform.requests == []


@pytest.mark.parametrize(("asked", "listed"), [("straße", "strasse"), ("oﬃce", "office")])
async def test_names_that_only_look_alike_are_not_one(
    platform: Platform, asked: str, listed: str
) -> None:
    for number, name in enumerate((asked, listed)):
        platform.add_user(name, f"other{number}@example.org")
    platform.enroll(listed, C0)
    async with EnrollmentClient(platform.url, platform.token, listing="so2") as client:
        findings = await settling(client).found(Batch(Action.ENROLL, (C0,), (asked,)))
    assert not findings


async def test_a_name_matches_in_any_normal_form(platform: Platform) -> None:
    platform.add_user("zo\u00eb", "zoe@example.org")
    platform.enroll("zo\u00eb", C0)
    async with EnrollmentClient(platform.url, platform.token, listing="so2") as client:
        findings = await settling(client).found(Batch(Action.ENROLL, (C0,), ("ZOE\u0308",)))
    assert findings == {("ZOE\u0308", C0)}
