"""What became of a lost call, looked up in the listing."""

import asyncio

import anyio

from async_enroll import Action, EnrollmentClient
from async_enroll.accounts import Accounts
from async_enroll.models import Batch
from async_enroll.sandbox import Platform
from async_enroll.settling import Settling

C0 = "course-v1:Org+C0+2026"
C1 = "course-v1:Org+C1+2026"


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
    assert findings.done == {("LEARNER0", C0), ("Learner1@Example.org", C0)}
    assert findings.readable


async def test_an_unenrollment_is_seen_by_its_record(
    platform: Platform, client: EnrollmentClient
) -> None:
    platform.enroll("learner0", C0)
    platform.enroll("learner1", C0)
    await client.bulk_unenroll(["learner0"], [C0])
    batch = Batch(Action.UNENROLL, (C0,), ("learner0", "learner1", "learner2"))
    findings = await settling(client).found(batch)
    assert findings.done == {("learner0", C0)}


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
    assert findings.done == {("learner0", C0)}


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
    assert not findings.readable
    assert not findings.done


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
        assert (await joined).done == {("learner0", C0)}
