"""Bulk calls at the same time: what they see of each other, and who waits for whom."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from itertools import permutations
from typing import Any

import anyio
import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll.models import Action
from async_enroll.sandbox import RELEASES, Mail
from async_enroll.sandbox.domain.bulk_call import BulkCall
from async_enroll.sandbox.domain.bulk_enroll import BulkEnroll
from async_enroll.sandbox.faults.pace import Effort, Pace
from async_enroll.sandbox.http.answers import Crash
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.storage.rows import Course, User
from tests.sandbox.raw import C1, C2, LISTING, small_platform, speaking_to, state, until_mailed

JANE = "Jane@example.org"
JOE = "joe@example.org"
NEW = "new@example.org"


async def test_mails_leave_one_by_one_and_changes_show_at_the_end() -> None:
    async with small_platform(seconds_per_pair=0.1) as platform, speaking_to(platform) as raw:
        call = asyncio.create_task(raw.bulk(f"Jane,{NEW}", C1, cohorts="A", email_students=True))
        for count in (1, 2):
            await until_mailed(platform, count)
            assert len(platform.outbox) == count
            assert (await raw.request("GET", LISTING)).json == []
            assert not platform.is_enrolled("Jane", C1)
            assert not platform.is_allowed(NEW, C1)
            assert platform.cohort_of("Jane", C1) is None
            assert platform.audit == []
        assert (await call).status == 200
        assert len((await raw.request("GET", LISTING)).json) == 1
        assert platform.is_enrolled("Jane", C1)
        assert platform.is_allowed(NEW, C1)
        assert platform.cohort_of("Jane", C1) == "A"


async def test_a_call_sees_its_own_changes_only() -> None:
    async with small_platform(seconds_per_pair=0.1) as platform, speaking_to(platform) as raw:
        enrolling = asyncio.create_task(raw.bulk("Jane,Jane", C1, email_students=True))
        await until_mailed(platform, 1)
        (unenrolled,) = await raw.results("Jane", C1, action="unenroll")
        # There was nothing to be written, so there was nothing to wait for.
        assert not enrolling.done()
        assert unenrolled["before"] == unenrolled["after"] == state("user")
        first, second = (await enrolling).json["courses"][C1]["results"]
        assert (first["before"], second["before"]) == (state("user"), state("user", "enrollment"))


async def test_the_second_to_write_waits_and_sees_what_was_committed() -> None:
    async with small_platform(seconds_per_pair=0.15) as platform, speaking_to(platform) as raw:
        first = asyncio.create_task(raw.bulk("Jane", C1, cohorts="A", email_students=True))
        await until_mailed(platform, 1)
        second = asyncio.create_task(raw.bulk("jane", C1, cohorts="B", email_students=True))
        await first
        assert not second.done()
        (result,) = (await second).json["courses"][C1]["results"]
        # What was read before the wait is stale, what was read after it is not.
        assert result["before"] == state("user", cohort="A")
        assert result["after"] == state("user", "enrollment", cohort="B")
        assert platform.outbox == [Mail(Action.ENROLL, JANE, C1)] * 2
        assert platform.cohort_of("Jane", C1) == "B"
        one, other = platform.requests
        assert other.end - one.end >= 0.1


async def test_or_goes_on_when_the_first_is_undone() -> None:
    async with small_platform(seconds_per_pair=0.1) as platform, speaking_to(platform) as raw:
        platform.add_user("poisonous", "poisonous@example.org", poisonous=True)
        first = asyncio.create_task(
            raw.bulk("Jane,poisonous", C1, cohorts="A", email_students=True)
        )
        await until_mailed(platform, 1)
        (result,) = await raw.results("Jane", C1, cohorts="B")
        assert (await first).status == 500
        assert result["before"] == state("user", cohort=None)
        assert platform.cohort_of("Jane", C1) == "B"


async def test_two_that_unenroll_the_same_learner_both_mail() -> None:
    async with small_platform(seconds_per_pair=0.1) as platform, speaking_to(platform) as raw:
        platform.enroll("Jane", C1)
        fields = {"action": "unenroll", "email_students": True}
        first = asyncio.create_task(raw.bulk("Jane", C1, **fields))
        await until_mailed(platform, 1)
        (result,) = await raw.results("Jane", C1, **fields)
        await first
        assert result["before"] == state("user", "enrollment")
        assert result["after"] == state("user")
        assert platform.outbox == [Mail(Action.UNENROLL, JANE, C1)] * 2


async def test_other_rows_are_not_waited_for() -> None:
    async with small_platform(seconds_per_pair=0.3) as platform, speaking_to(platform) as raw:
        first = asyncio.create_task(raw.bulk("Jane,joe", C1, email_students=True))
        await until_mailed(platform, 1)
        assert (await raw.bulk("Jane", C2)).status == 200
        assert not first.done()
        assert (await first).status == 200


async def test_who_would_close_a_circle_of_waiting_is_undone() -> None:
    async with small_platform(seconds_per_pair=0.1) as platform, speaking_to(platform) as raw:
        calls = [("Jane,joe,new@example.org", "A"), ("joe,new@example.org", "B")]
        calls.append(("new@example.org,Jane", "B"))
        answers = [
            asyncio.create_task(raw.bulk(people, C1, cohorts=cohort)) for people, cohort in calls
        ]
        with anyio.fail_after(2):
            statuses = sorted([(await answer).status for answer in answers])
        assert statuses == [200, 200, 500]
        assert platform.requests[0].status == 500


@pytest.mark.parametrize("release", ["2022", "2026"])
async def test_a_circle_closed_by_the_very_last_learner_shows_in_their_result_alone(
    release: str,
) -> None:
    async with (
        small_platform(release=release, seconds_per_pair=0.1) as platform,
        speaking_to(platform) as raw,
    ):
        calls = [asyncio.create_task(raw.bulk(people, C1)) for people in ("Jane,joe", "joe,Jane")]
        with anyio.fail_after(2):
            answers = [await call for call in calls]
        assert [answer.status for answer in answers] == [200, 200]
        results = [answer.json["courses"][C1]["results"] for answer in answers]
        assert sorted("error" in two[1] for two in results) == [False, True]
        assert not any("error" in two[0] for two in results)
        assert {row.username for row in platform.enrollments} == {"Jane", "joe"}
        # Of three pairs that were told to be done, 2022 has undone one.
        assert len(platform.audit) == (2 if release == "2022" else 3)


@frozen(eq=False)
class Attempt:
    """A call, after how many steps each pair is done, and whether it fails at the end."""

    call: BulkCall
    steps: tuple[int, ...]
    fails: bool


class Stepwise(Effort):
    """Lets others run for so many steps after each pair."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(Pace(0, 0), attempt.call.pairs)
        self._steps = iter(attempt.steps)
        self._fails = attempt.fails

    async def begin(self) -> None:
        await self.pair_done()

    async def pair_done(self) -> None:
        for _ in range(next(self._steps)):
            await asyncio.sleep(0)

    async def end(self) -> None:
        if self._fails:
            raise Crash


@frozen
class World:
    """Jane, who is enrolled in one course, and Joe.

    `done`: the attempts that came off, and what they read when they had waited for others.
    """

    database: Database
    outbox: list[Mail] = field(factory=list)
    done: dict[Attempt, list[Any]] = field(factory=dict)

    async def make(self, attempt: Attempt) -> None:
        effort = Stepwise(attempt)
        with suppress(Crash):
            enrolling = BulkEnroll(self.database, RELEASES["moocit"], self.outbox)
            content = await enrolling(attempt.call, effort)
            courses = content["courses"].values()
            results = [result for course in courses for result in course["results"]]
            # A deadlock at the very last learner undoes the call behind an answer.
            if not any("error" in result for result in results):
                self.done[attempt] = [
                    (result["before"].get("cohort"), result["after"]) for result in results
                ]

    def pair(self, course_id: str, address: str) -> tuple[object, ...]:
        rows = self.database.rows(course_id)
        user = self.database.find_user(address)
        key = user.username.lower() if user else address
        return (
            rows.is_enrolled(user),
            rows.waits_for(address),
            (rows.cohorts if user else rows.precohorts).get(key),
        )


def world() -> World:
    database = Database()
    for course_id in (C1, C2):
        database.add_course(Course(course_id, frozenset("AB"), forbidden=False))
    for address in (JANE, JOE):
        database.add_user(User(address.partition("@")[0], address))
    jane = database.find_user(JANE)
    assert jane
    database.rows(C1).enroll(jane, datetime(2026, 1, 1))
    return World(database)


async def serially(attempts: Iterable[Attempt]) -> World:
    result = world()
    for attempt in attempts:
        await result.make(attempt)
    return result


async def at_once(attempts: Iterable[Attempt]) -> World:
    result = world()
    async with anyio.create_task_group() as tasks:
        for attempt in attempts:
            tasks.start_soon(result.make, attempt)
    return result


PAIRS = [(course, address) for course in (C1, C2) for address in (JANE, JOE, NEW)]


def some_of(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


@st.composite
def attempts(draw: st.DrawFn, *actions: Action) -> Attempt:
    action = draw(st.sampled_from(actions))
    courses = draw(some_of(C1, C2))
    placed = action is Action.ENROLL and draw(st.booleans())
    call = BulkCall(
        action=action,
        courses=courses,
        identifiers=draw(some_of("Jane", JANE, JOE, NEW)),
        cohorts=[draw(st.sampled_from("AB")) for _ in courses] if placed else [],
        auto_enroll=draw(st.booleans()),
        email_students=True,
    )
    pauses = st.lists(st.integers(0, 4), min_size=call.pairs + 1, max_size=call.pairs + 1)
    return Attempt(call, tuple(draw(pauses)), fails=draw(st.integers(0, 4)) == 0)


@settings(deadline=None)
@given(st.lists(attempts(Action.ENROLL), min_size=2, max_size=4))
def test_calls_that_enroll_end_as_if_one_had_come_after_the_other(made: list[Attempt]) -> None:
    async def check() -> None:
        mixed = await at_once(made)
        orders = [await serially(order) for order in permutations(mixed.done)]
        accounts = [([order.pair(*pair) for pair in PAIRS], order.done) for order in orders]
        assert ([mixed.pair(*pair) for pair in PAIRS], mixed.done) in accounts
        await check_books(mixed)

    anyio.run(check)


@settings(deadline=None)
@given(st.lists(attempts(*Action), min_size=2, max_size=4))
def test_each_pair_ends_as_if_one_call_had_come_after_the_other(made: list[Attempt]) -> None:
    # Of each pair only: a call that unenrolls leaves alone whom it reads to be not enrolled,
    # and may read one pair before, another after somebody else's commit.
    async def check() -> None:
        mixed = await at_once(made)
        orders = [await serially(order) for order in permutations(mixed.done)]
        for pair in PAIRS:
            assert mixed.pair(*pair) in [order.pair(*pair) for order in orders]
        await check_books(mixed)

    anyio.run(check)


async def check_books(mixed: World) -> None:
    """Only what came off is on record, and no row is left locked."""
    assert len(mixed.database.audit) == sum(attempt.call.pairs for attempt in mixed.done)
    everything = BulkCall(Action.ENROLL, [C1, C2], [JANE, JOE, NEW], (), True, False)
    with anyio.fail_after(1):
        await mixed.make(Attempt(everything, (0,) * 7, fails=False))
    assert list(mixed.done)[-1].call is everything
