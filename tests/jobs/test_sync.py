"""A sync: afterwards, courses are as their roster, and nobody is removed by mistake."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from attrs import evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from async_enroll import (
    Action,
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    EnrollmentReport,
    JobStopped,
    Outcome,
    RosterEntry,
    SyncRefused,
)
from async_enroll.events import BatchAnswered, Event
from async_enroll.jobs import sync as jobs_sync
from async_enroll.models import loose_key
from async_enroll.planning.sync_file import PlannedSync, sync_file
from async_enroll.sandbox import Platform
from tests.jobs.between import Change, between, broken, cut, is_account, is_listing, is_own
from tests.jobs.test_diff import C0, C1, C2, COURSES, RELEASES, class_list, entries, names, site
from tests.waiting import run

KEPT = ("learner000", "Learner001@example.org")


def enrolled(platform: Platform, course_id: str = C0) -> set[str]:
    return {
        row.username for row in platform.enrollments if row.course_id == course_id and row.is_active
    }


def calls(platform: Platform) -> int:
    """How many bulk calls carried learners."""
    return sum(request.pairs > 0 and request.method == "POST" for request in platform.requests)


async def sync(
    platform: Platform, roster: Any, url: str = "", **arguments: Any
) -> EnrollmentReport:
    async with EnrollmentClient(url or platform.url, platform.token, settle=0.3) as client:
        return await client.sync(roster, **arguments)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("tells", [True, False])
async def test_a_course_becomes_its_list(release: str, tells: bool) -> None:
    async with site(release, accounts_tell_addresses=tells) as platform:
        others = [enrolled(platform, course_id) for course_id in (C1, C2)]
        report = await sync(platform, class_list())
        assert report.counts == {Outcome.ENROLLED: 40, Outcome.ALLOWED: 5}
        assert report.ok
        assert len(enrolled(platform)) == 340
        report = await sync(platform, class_list(), remove=True, keep=KEPT)
        assert report.counts == {Outcome.UNENROLLED: 18, Outcome.ALLOWED: 5}
        assert names(report.kept) == {"learner000", "learner001"}
        assert report.withheld == {}
        assert "sync: 0 added, 18 removed, 2 kept, 0 withheld" in str(report)
        everybody = {f"learner{number:03}" for number in range(340)}
        assert enrolled(platform) == everybody - {f"learner{n:03}" for n in range(2, 20)}
        sent = calls(platform)
        async with EnrollmentClient(platform.url, platform.token) as client:
            assert (await client.diff(class_list(), remove=True, keep=KEPT)).in_sync
            report = await client.sync(class_list(), remove=True, keep=KEPT)
        assert report.counts == {Outcome.ALLOWED: 5}
        assert calls(platform) - sent <= 2
        assert [enrolled(platform, course_id) for course_id in (C1, C2)] == others


@pytest.mark.parametrize("release", ["moocit", "2026"])
@pytest.mark.parametrize(
    ("roster", "arguments"),
    [
        ([], {"courses": [C0]}),
        ([], {"courses": [C0], "max_removals": None}),
        ([], {}),
        (class_list()[:200], {}),
        (class_list(), {"max_removals": 19}),
        (class_list(), {"max_removals": 0.06}),
        (entries("stranger@example.org"), {"max_removals": 1.0}),
    ],
)
async def test_an_empty_or_short_list_is_refused_and_nothing_is_sent(
    release: str, roster: list[RosterEntry], arguments: dict[str, Any]
) -> None:
    async with site(release) as platform:
        with pytest.raises(SyncRefused, match="sync refused, nothing was sent"):
            await sync(platform, roster, remove=True, **arguments)
        assert {request.method for request in platform.requests} <= {"GET"}


async def test_a_course_is_emptied_only_without_a_bound() -> None:
    async with site(learners=3) as platform:
        roster = entries("stranger@example.org")
        with pytest.raises(SyncRefused, match=r"would remove 3 of 3 learners and leave none"):
            await sync(platform, roster, remove=True)
        report = await sync(platform, roster, remove=True, max_removals=None)
        assert report.counts == {Outcome.ALLOWED: 1, Outcome.UNENROLLED: 3}
        assert enrolled(platform) == set()


@pytest.mark.parametrize("release", ["moocit", "2020", "2026"])
@pytest.mark.parametrize("answer", ["cut", "broken"])
async def test_a_listing_cut_short_removes_nobody_there(release: str, answer: str) -> None:
    async def change(request: web.Request, said: bytes) -> web.Response | None:
        if is_listing(request) and request.query.get("course_id") == C0:
            return cut(said) if answer == "cut" else broken()
        return None

    async with site(release) as platform, between(platform, change) as url:
        roster = [RosterEntry(one.identifier, key) for one in class_list() for key in (C0, C1)]
        report = await sync(platform, roster, url, remove=True)
        assert report.withheld
        assert list(report.withheld) == [C0]
        assert f"nobody is removed from {C0}: its list of enrollments could not" in str(report)
        assert len(enrolled(platform, C0)) == 340
        assert len(enrolled(platform, C1)) == 320


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_a_listing_that_lacks_people_removes_nobody(release: str) -> None:
    """As a short page that looks whole: those it lacks are enrolled already, as it turns out."""

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        if not is_listing(request):
            return None
        body = said.replace(b"learner200", b"learner399")
        return web.Response(body=body, content_type="application/json")

    async with site(release) as platform, between(platform, change) as url:
        report = await sync(platform, class_list(), url, remove=True)
        assert report.counts[Outcome.ALREADY_ENROLLED] == 1
        assert report.counts[Outcome.REJECTED] == 21
        assert not report.ok
        (words,) = {failure.error for failure in report.failures}
        assert words == (
            "not sent: removals are withheld: an addition to this course was enrolled already, and "
            "was not listed: the list of enrollments was not complete"
        )
        assert report.withheld == {C0: words.removeprefix("not sent: removals are withheld: ")}
        assert "45 added, 0 removed, 0 kept, 21 withheld" in str(report)
        assert len(enrolled(platform)) == 340


async def test_who_is_named_twice_withholds_nothing() -> None:
    async with site(learners=20) as platform:
        platform.add_user("new", "new@example.org")
        roster = entries(*(f"learner{n:03}" for n in range(19)), "new", "new@example.org")
        report = await sync(platform, roster, remove=True)
        assert report.ok
        assert enrolled(platform) == {f"learner{n:03}" for n in range(19)} | {"new"}


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_a_look_up_that_fails_removes_nobody(release: str) -> None:
    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        return broken() if request.query.get("email") == "new0@example.org" else None

    async with site(release) as platform, between(platform, before=answer) as url:
        report = await sync(platform, class_list(), url, remove=True)
        assert report.counts == {Outcome.ENROLLED: 40, Outcome.ALLOWED: 5, Outcome.REJECTED: 20}
        assert len(enrolled(platform)) == 340


async def test_where_the_own_user_is_unknown_nobody_is_removed() -> None:
    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        return broken() if is_own(request) else None

    async with site() as platform, between(platform, before=answer) as url:
        report = await sync(platform, class_list(), url, remove=True)
        assert report.counts[Outcome.REJECTED] == 20
        assert len(enrolled(platform)) == 340


async def test_the_own_user_and_paid_learners_stay() -> None:
    async with site(learners=30) as platform:
        platform.add_user("staff", "staff@example.org")
        platform.add_user("paid", "paid@example.org")
        platform.enroll("staff", C0)
        platform.enroll("paid", C0, mode="verified")
        roster = entries(*(f"learner{number:03}" for number in range(28)))
        report = await sync(platform, roster, remove=True)
        assert report.counts == {Outcome.UNENROLLED: 2}
        assert names(report.kept) == {"staff", "paid"}
        assert {"staff", "paid"} <= enrolled(platform)
        report = await sync(platform, roster, remove=True, remove_modes=["verified"])
        assert report.counts == {Outcome.UNENROLLED: 1}
        assert "staff" in enrolled(platform)


async def test_all_additions_are_answered_before_anybody_is_removed() -> None:
    actions: list[tuple[str, str]] = []

    async def before(request: web.Request, body: bytes) -> web.Response | None:
        if request.method == "POST" and b"preflight@" not in body.split(b",")[0]:
            actions.append(("asked", "unenroll" if b'"unenroll"' in body else "enroll"))
        return None

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        if request.method == "POST":
            actions.append(("answered", "unenroll" if b'"unenroll"' in said else "enroll"))
        return None

    async with site(seconds_per_call=0.05) as platform:
        async with between(platform, change, before) as url:
            async with EnrollmentClient(
                url, platform.token, batch=BatchLimits(identifiers=4, pairs=4)
            ) as client:
                report = await client.sync(class_list(), remove=True)
    assert report.ok
    first = actions.index(("asked", "unenroll"))
    assert ("answered", "enroll") not in actions[first:]
    assert ("asked", "enroll") not in actions[first:]
    assert actions.count(("asked", "unenroll")) >= 5


@pytest.mark.parametrize("removed", [True, False])
async def test_mail_goes_to_whom_it_is_asked_for(removed: bool) -> None:
    async with site() as platform:
        await sync(
            platform, class_list(), remove=True, email_students=not removed, email_removed=removed
        )
        mailed = Counter(mail.action for mail in platform.outbox)
        assert mailed == ({Action.UNENROLL: 20} if removed else {Action.ENROLL: 45})
        assert len({mail.to for mail in platform.outbox}) == mailed.total()


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_nobody_is_mailed_for_being_in_the_list_once_more(release: str) -> None:
    async with site(release) as platform:
        platform.allow("new0@example.org", C0)
        for _ in range(3):
            await sync(platform, class_list(), email_students=True)
        assert Counter(mail.to for mail in platform.outbox) == {
            **{f"learner{number}@example.org": 1 for number in range(300, 340)},
            **{f"new{number}@example.org": 1 for number in range(1, 5)},
        }


async def test_a_stale_listing_is_read_again_before_anybody_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            found = await client.diff(class_list(), remove=True)
            read = len(listings(platform))
            monkeypatch.setattr(jobs_sync, "FRESH", 0.0)
            # Since then, one has paid, one has left, and one has come.
            platform.add_user("late", "late@example.org")
            platform.enroll("late", C0)
            await client.bulk_unenroll(["learner000", "learner001"], [C0])
            platform.add_user("paid", "paid@example.org")
            report = await client.sync(found)
        assert len(listings(platform)) == read + 1
        assert report.counts[Outcome.UNENROLLED] == 18
        assert report.counts[Outcome.NOT_ENROLLED] == 2
        assert "late" in enrolled(platform)


@pytest.mark.parametrize(("seconds", "again"), [(500.0, False), (601.0, True), (-60.0, True)])
async def test_the_age_of_a_listing_is_that_of_the_wall_clock(seconds: float, again: bool) -> None:
    """A laptop that sleeps at the prompt has a monotonic clock that sleeps as well."""
    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            found = evolve(await client.diff(class_list(), remove=True), read=time.time() - seconds)
            read = len(listings(platform))
            await client.sync(found)
        assert len(listings(platform)) == read + again


def listings(platform: Platform) -> list[str]:
    return [one.query for one in platform.requests if one.path.endswith("v1/enrollments")]


async def test_what_is_found_later_is_guarded_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(learners=20) as platform:
        roster = entries(*(f"learner{number:03}" for number in range(16)), "new@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            found = await client.diff(roster, remove=True)
            assert len(found.removals) == 4
            monkeypatch.setattr(jobs_sync, "FRESH", -1.0)
            await client.bulk_unenroll([f"learner{number:03}" for number in range(5)], [C0])
            report = await client.sync(found)
        assert report.counts == {Outcome.ALLOWED: 1, Outcome.REJECTED: 4}
        assert report.withheld
        assert "would remove 4 of 15 learners, more than 3" in report.withheld[C0]
        assert len(enrolled(platform)) == 15


async def test_a_listing_that_fails_the_second_time_removes_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = 0

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        nonlocal reads
        reads += is_listing(request)
        return cut(said) if is_listing(request) and reads > 1 else None

    monkeypatch.setattr(jobs_sync, "FRESH", -1.0)
    async with site() as platform, between(platform, change) as url:
        report = await sync(platform, class_list(), url, remove=True)
        assert report.counts[Outcome.REJECTED] == 20
        assert len(enrolled(platform)) == 340


async def test_a_diff_is_applied_as_it_was_made() -> None:
    async with site() as platform, EnrollmentClient(platform.url, platform.token) as client:
        found = await client.diff(class_list(), remove=True, keep=KEPT)
        reads = len(listings(platform))
        for other in ({"remove": True}, {"keep": ["x"]}, {"courses": [C1]}, {"max_removals": 3}):
            with pytest.raises(ConfigurationError, match="made with other arguments"):
                await client.sync(found, **other)
        report = await client.sync(found)
        assert report.counts == {Outcome.ENROLLED: 40, Outcome.ALLOWED: 5, Outcome.UNENROLLED: 18}
        assert len(listings(platform)) == reads
        async with site() as other_site:
            async with EnrollmentClient(other_site.url, other_site.token) as other_client:
                with pytest.raises(ConfigurationError, match="the diff is of"):
                    await other_client.sync(found)
        with pytest.raises(ConfigurationError, match="email_removed is a int"):
            await client.sync(class_list(), email_removed=1)  # type: ignore[arg-type]


async def test_a_job_stopped_between_additions_and_removals_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    stop = anyio.Event()

    def tell(event: Event) -> None:
        if isinstance(event, BatchAnswered) and event.batch.identifiers != ("preflight@",):
            stop.set()

    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=tell) as client:
            with pytest.raises(JobStopped) as stopped:
                await client.sync(class_list(), remove=True, keep=KEPT, journal=journal, stop=stop)
            assert stopped.value.report
            assert names(stopped.value.report.kept) == {"learner000", "learner001"}
        assert len(enrolled(platform)) == 340
        # Meanwhile one of them pays, and another is enrolled who is on no list.
        row = next(row for row in platform.enrollments if row.username == "learner005")
        platform.add_user("late", "late@example.org")
        platform.enroll("late", C0)
        reads = len(listings(platform))
        assert row.is_active
        async with EnrollmentClient(platform.url, platform.token) as client:
            results = [result async for result in client.resume(journal)]
        assert len(listings(platform)) == reads + 1
        assert Counter(one.outcome for one in results) == {Outcome.UNENROLLED: 18}
        assert "late" in enrolled(platform)
        assert {"learner000", "learner001"} <= enrolled(platform)
        report = await sync(platform, class_list(), remove=True, keep=KEPT, journal=journal)
        assert report.finished_earlier
        assert report.counts == {Outcome.ENROLLED: 40, Outcome.ALLOWED: 5, Outcome.UNENROLLED: 18}
        assert names(report.kept) == {"learner000", "learner001"}


@pytest.mark.parametrize("again", ["resume", "sync"])
async def test_removals_that_were_in_flight_are_looked_up(tmp_path: Path, again: str) -> None:
    journal = tmp_path / "sync.db"
    lost = anyio.Event()

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        if b'"action":"unenroll"' in said.replace(b" ", b"") and not lost.is_set():
            lost.set()
            await anyio.sleep(30)  # done, but nobody hears of it
        return None

    async with site() as platform, between(platform, change) as url:
        async with EnrollmentClient(url, platform.token) as client:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:

                    async def cancel() -> None:
                        await lost.wait()
                        scope.cancel()

                    tasks.start_soon(cancel)
                    await client.sync(class_list(), remove=True, journal=journal)
        assert len(enrolled(platform)) == 320
        async with EnrollmentClient(url, platform.token, settle=0.3) as client:
            if again == "resume":
                results = [result async for result in client.resume(journal)]
            else:
                report = await client.sync(class_list(), remove=True, journal=journal)
                results = [one for one in report if one.action is Action.UNENROLL]
        assert Counter(one.outcome for one in results) == {Outcome.UNENROLLED: 20}
        assert len(enrolled(platform)) == 320


@pytest.mark.parametrize("again", ["resume", "sync"])
async def test_a_resumed_job_protects_the_roster_it_was_made_for(
    tmp_path: Path, again: str
) -> None:
    """An account that meanwhile has an address of the list is wanted now."""
    journal = tmp_path / "sync.db"
    stop = anyio.Event()

    def tell(event: Event) -> None:
        if isinstance(event, BatchAnswered):
            stop.set()

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        if not is_listing(request) or not stop.is_set():
            return None
        body = said.replace(b"learner019@example.org", b"wanted@example.org")
        return web.Response(body=body, content_type="application/json")

    async with site(learners=20) as platform, between(platform, change) as url:
        roster = entries(*(f"learner{n:03}" for n in range(18)), "wanted@example.org")
        async with EnrollmentClient(url, platform.token, on_event=tell) as client:
            with pytest.raises(JobStopped):
                await client.sync(roster, remove=True, journal=journal, stop=stop)
        async with EnrollmentClient(url, platform.token) as client:
            if again == "resume":
                results = [result async for result in client.resume(journal)]
            else:
                results = list(await client.sync(roster, remove=True, journal=journal))
        outcomes = {one.identifier: one.outcome for one in results}
        assert outcomes["learner018"] is Outcome.UNENROLLED
        assert outcomes["learner019"] is Outcome.REJECTED
        assert "learner019" in enrolled(platform)


async def test_a_diff_does_not_stand_in_for_reading_again_on_a_resume(tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    stop = anyio.Event()

    def tell(event: Event) -> None:
        if isinstance(event, BatchAnswered):
            stop.set()

    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=tell) as client:
            with pytest.raises(JobStopped):
                await client.sync(class_list(), remove=True, journal=journal, stop=stop)
        async with EnrollmentClient(platform.url, platform.token) as client:
            found = await client.diff(class_list(), remove=True)
            reads = len(listings(platform))
            report = await client.sync(found, journal=journal)
        assert len(listings(platform)) == reads + 1
        assert report.counts[Outcome.UNENROLLED] == 20


async def test_another_roster_or_option_is_another_job(tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    async with site() as platform:
        await sync(platform, class_list(), journal=journal)
        for roster, arguments in (
            (class_list()[:-1], {}),
            (class_list(), {"remove": True}),
            (class_list(), {"keep": ["learner000"]}),
            (class_list(), {"email_removed": True}),
        ):
            with pytest.raises(ConfigurationError, match="belongs to another job"):
                await sync(platform, roster, journal=journal, **arguments)
        assert len(enrolled(platform)) == 340


async def test_refused_no_journal_is_made(tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    async with site() as platform:
        with pytest.raises(SyncRefused):
            await sync(platform, class_list()[:10], remove=True, journal=journal)
    assert not journal.exists()


async def test_withheld_from_the_start_is_in_the_report_and_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    async with site(core_listing=False) as platform:
        report = await sync(platform, class_list(), remove=True, journal=journal)
        assert report.counts == {Outcome.ENROLLED: 40, Outcome.ALLOWED: 5, Outcome.REJECTED: 20}
        again = await sync(platform, class_list(), remove=True, journal=journal)
        assert again.counts == report.counts
        assert again.withheld == report.withheld
        assert list(again.withheld or ()) == [C0]


async def test_by_a_file_unless_the_platform_has_changed() -> None:
    async with site() as platform, EnrollmentClient(platform.url, platform.token) as client:
        found = await client.diff(class_list(), remove=True, keep=KEPT)
        planned = PlannedSync.read(sync_file(found).encode(), "plan.json")
        again = await client.diff(list(planned.desired), **planned.options.arguments())
        planned.check(again)
        await client.bulk_enroll(["learner305"], [C0])
        again = await client.diff(list(planned.desired), **planned.options.arguments())
        with pytest.raises(SyncRefused, match="no longer needed: 1, new: 0"):
            planned.check(again)


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_two_syncs_at_once_do_no_harm(release: str) -> None:
    async with site(release, seconds_per_call=0.05) as platform:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(
                    lambda: sync(platform, class_list(), remove=True, email_removed=True)
                )
        assert enrolled(platform) >= {f"learner{number:03}" for number in range(20, 340)}
        async with EnrollmentClient(platform.url, platform.token) as client:
            await client.sync(class_list(), remove=True)
            assert (await client.diff(class_list(), remove=True)).in_sync


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("seed", range(3))
async def test_somebody_else_enrolls_and_unenrolls_meanwhile(release: str, seed: int) -> None:
    """Whatever others do: nobody wanted is removed by the sync, and no other course changes."""
    chance = random.Random(seed)
    roster = class_list()
    wanted = {f"learner{number:03}" for number in range(20, 340)}
    removed: set[str] = set()

    async def note(request: web.Request, body: bytes) -> web.Response | None:
        if request.method == "POST" and b'"action":"unenroll"' in body:
            listed = body.split(b'"identifiers":"')[1].split(b'"')[0].decode()
            removed.update(who.lower() for who in listed.split(",") if who != "preflight@")
        return None

    async with site(release, seconds_per_call=0.02) as platform:
        others = enrolled(platform, C1)

        async def meddle() -> None:
            async with EnrollmentClient(
                platform.url, platform.token, batch=BatchLimits(identifiers=5)
            ) as client:
                while True:
                    # To enroll whom the sync is about to enroll would only withhold removals.
                    some = [f"learner{chance.randrange(340, 400)}" for _ in range(5)]
                    await client.bulk_enroll(some, [C0])
                    some = [f"learner{chance.randrange(400):03}" for _ in range(5)]
                    await client.bulk_unenroll(some, [C0])

        async with between(platform, before=note) as url, anyio.create_task_group() as tasks:
            tasks.start_soon(meddle)
            for _ in range(2):
                await sync(platform, roster, url, remove=True, max_removals=None)
            tasks.cancel_scope.cancel()
        assert removed.isdisjoint(wanted)
        assert removed
        assert enrolled(platform, C1) == others
        for _ in range(2):
            await sync(platform, roster, remove=True, max_removals=None)
        assert enrolled(platform) == wanted


def without_look_ups(status: int, body: str, kind: str) -> Change:
    """A site that answers no look-ups of accounts; but it tells the token's own user."""

    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        if is_account(request):
            return web.Response(status=status, text=body, content_type=kind)
        return None

    return answer


@pytest.mark.parametrize("release", ["2022", "2026"])
@pytest.mark.parametrize(
    "refusal",
    [
        (403, '{"detail": "no"}', "application/json"),
        (404, "<title>Page not found</title>", "text/html"),
        (500, "<title>Server Error</title>", "text/html"),
    ],
)
async def test_whose_address_is_to_be_unenrolled_must_be_known(
    release: str, refusal: tuple[int, str, str]
) -> None:
    """A core listing tells no addresses: the row may be one of a learner who is wanted."""
    roster = [
        *entries(*(f"learner{number:03}" for number in range(12))),
        *entries("learner003@example.org", action=Action.UNENROLL),
    ]
    async with (
        site(release, learners=12) as platform,
        between(platform, before=without_look_ups(*refusal)) as url,
        EnrollmentClient(url, platform.token) as client,
    ):
        found = await client.diff(roster)
        assert list(found.changes) == []
        assert "accounts of the roster could not be looked up" in found.withheld[C0]
        report = await client.sync(roster)
        assert report.counts == {Outcome.REJECTED: 1}
        assert list(report.withheld or ()) == [C0]
        assert "learner003" in enrolled(platform)


@pytest.mark.parametrize("release", ["moocit", "2026"])
@pytest.mark.parametrize("wanted", [True, False])
async def test_who_waits_for_activation_loses_to_no_other_row(release: str, wanted: bool) -> None:
    """Whoever is wanted, or kept, by their username does not lose their place by their address."""
    async with site(release, learners=2) as platform:
        platform.add_user("asleep", "asleep@example.org", active=False)
        platform.allow("asleep@example.org", C0)
        roster = [
            *entries("learner000", *(["asleep"] if wanted else [])),
            *entries("asleep@example.org", action=Action.UNENROLL),
        ]
        report = await sync(platform, roster, keep=[] if wanted else ["asleep"])
        assert Outcome.WITHDRAWN not in report.counts
        assert platform.is_allowed("asleep@example.org", C0)
        assert len(report.kept or ()) == 1


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("known", [True, False])
async def test_an_addition_whose_answer_is_lost_removes_nobody_who_is_wanted(
    release: str, known: bool
) -> None:
    """The platform knows no account by an address, enrolls it, and its answer is lost.

    Without the answer, nothing says that this learner was enrolled before by their username.
    """
    lost = False

    async def before(request: web.Request, _: bytes) -> web.Response | None:
        if is_account(request) and "learner003" in request.query.get("email", "") and not known:
            return web.Response(status=404)
        return None

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        nonlocal lost
        if is_listing(request) and release == "moocit":
            said = said.replace(b"learner003@example.org", b"earlier003@example.org")
            return web.Response(body=said, content_type="application/json")
        if request.method == "POST" and b"learner011" in said and not lost:
            lost = True
            return web.Response(status=504, text="<html>", content_type="text/html")
        return None

    wanted = {f"learner{number:03}" for number in range(2, 12)}
    async with (
        site(release, learners=11, accounts_tell_addresses=False) as platform,
        between(platform, change, before) as url,
    ):
        platform.add_user("learner011", "learner011@example.org")
        roster = entries(*wanted - {"learner003"}, "learner003@example.org")
        report = await sync(platform, roster, url, remove=True, max_removals=3)
        assert lost
        assert enrolled(platform) >= wanted
        if known:
            assert report.counts == {Outcome.ENROLLED: 1, Outcome.UNENROLLED: 2}
            assert enrolled(platform) == wanted
            return
        assert report.counts == {Outcome.ENROLLED: 2, Outcome.REJECTED: 3}
        assert "an addition to this course got no answer" in (report.withheld or {})[C0]


async def test_removals_that_take_long_are_decided_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the platform is away in between, a listing is old before the last removal is sent."""

    removing = False

    async def change(request: web.Request, said: bytes) -> web.Response | None:
        nonlocal removing
        if request.method == "POST" and b"learner000" in said:
            monkeypatch.setattr(jobs_sync, "FRESH", -1.0)
            removing = True
        return cut(said) if is_listing(request) and removing else None

    async with (
        site() as platform,
        between(platform, change) as url,
        EnrollmentClient(
            url, platform.token, concurrency=1, batch=BatchLimits(identifiers=5)
        ) as client,
    ):
        report = await client.sync(class_list(), remove=True)
    assert report.counts[Outcome.UNENROLLED] in (5, 10)
    assert report.counts[Outcome.UNENROLLED] + report.counts[Outcome.REJECTED] == 20
    assert "could not be read to its end" in (report.failures[0].error or "")


async def test_the_file_of_another_site_is_told_as_such() -> None:
    async with (
        site(learners=3) as platform,
        site(learners=2) as other,
        EnrollmentClient(platform.url, platform.token) as client,
    ):
        roster = entries("learner000")
        planned = PlannedSync.read(sync_file(await client.diff(roster)).encode(), "plan.json")
        async with EnrollmentClient(other.url, other.token) as elsewhere:
            found = await elsewhere.diff(roster, remove=True)
        with pytest.raises(ConfigurationError, match=f"the plan is of {platform.url}"):
            planned.check(found)


PEOPLE = {name: f"{loose_key(name)}@example.org" for name in ("ann", "Zoë", "max", "José", "bob")}

people = st.fixed_dictionaries(
    {name: st.sampled_from(["no account", "not in", "in", "was in", "asleep"]) for name in PEOPLE}
)
wishes = st.dictionaries(
    st.sampled_from([*PEOPLE, *PEOPLE.values(), "x@example.org"]),
    st.sampled_from([Action.ENROLL, Action.ENROLL, Action.UNENROLL]),
    max_size=9,
)


@pytest.mark.parametrize("release", ["moocit", "2020", "2026"])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    world=people,
    wishes=wishes,
    keep=st.lists(st.sampled_from(list(PEOPLE)), max_size=2),
    remove=st.booleans(),
    tells=st.booleans(),
)
@example(  # one who is not activated, named twice
    world={**dict.fromkeys(PEOPLE, "no account"), "ann": "asleep", "max": "in"},
    wishes={
        "ann": Action.ENROLL,
        "ann@example.org": Action.ENROLL,
        "max": Action.UNENROLL,
    },
    keep=[],
    remove=False,
    tells=True,
)
def test_whatever_there_was_it_is_in_sync_afterwards(
    release: str,
    world: dict[str, str],
    wishes: dict[str, Action],
    keep: list[str],
    remove: bool,
    tells: bool,
) -> None:
    if not tells:  # nor whether an account is activated
        world = {name: state.replace("asleep", "not in") for name, state in world.items()}

    async def check() -> None:
        async with Platform(
            release=release, window=None, username="staff", accounts_tell_addresses=tells
        ) as platform:
            for course_id in COURSES:
                platform.add_course(course_id)
            for name, state in world.items():
                if state != "no account":
                    platform.add_user(name, PEOPLE[name], active=state != "asleep")
                    platform.enroll(name, C1)
                if state in ("in", "was in"):
                    platform.enroll(name, C0)
            async with EnrollmentClient(platform.url, platform.token) as client:
                await client.bulk_unenroll([one for one in world if world[one] == "was in"], [C0])
                before = enrolled(platform)
                others = enrolled(platform, C1)
                roster = [RosterEntry(who, C0, action) for who, action in wishes.items()]
                arguments: dict[str, Any] = {
                    "remove": remove,
                    "keep": keep,
                    "max_removals": None,
                    "courses": [C0],
                }
                try:
                    await client.sync(roster, **arguments)
                except SyncRefused:
                    assert remove
                    assert Action.ENROLL not in wishes.values()
                    assert enrolled(platform) == before
                    return
                assert (await client.diff(roster, **arguments)).in_sync
            after = enrolled(platform)
            assert enrolled(platform, C1) == others
            wanted = {who for who, action in wishes.items() if action is Action.ENROLL}
            for name, state in world.items():
                named = {name, PEOPLE[name]}
                if named & wanted:  # who is asleep is enrolled on 2020, and waits later
                    assert name in after or state in ("no account", "asleep")
                elif name in keep or not (remove or named & wishes.keys()):
                    assert (name in after) == (name in before)
                elif state == "in":
                    assert name not in after

    run(check())
