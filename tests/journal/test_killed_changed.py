"""A job that mails only whom it has changed, killed at one moment or another, and gone on with."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from async_enroll import EnrollmentClient, EnrollmentResult, JournalReport, Outcome
from async_enroll.sandbox import Platform
from tests.account import address
from tests.cli.command import environment, fork_server
from tests.delivery.test_changed import C0, EVERYBODY, NEW, SITES, client_of, mailed, site


async def killed(platform: Platform, journal: Path, event: str, count: int, batch: int) -> bool:
    """Run the job in a process that kills itself at an event; whether it came to that."""
    roster = journal.with_suffix(".csv")
    rows = [f"{who},{C0}" for who in EVERYBODY]
    roster.write_text("\n".join(["identifier,course_id", *rows, ""]))
    arguments = [str(journal), str(roster)]
    job = {"MAIL": "changed", "BATCH": str(batch), "DIES_AT": event, "DIES_AFTER": str(count)}
    env = {**environment(platform), **job}
    ended = await fork_server().run("tests.journal.job", arguments, env)
    assert not ended.stderr, ended.stderr.decode()
    return ended.returncode == -signal.SIGKILL


async def resumed(client: EnrollmentClient, journal: Path) -> list[EnrollmentResult]:
    """Go on with the job to its end; return all results."""
    async for _ in client.resume(journal):
        pass
    with JournalReport(journal) as report:
        assert not report.pending
        return list(report.results())


@pytest.mark.parametrize(("release", "listing"), SITES)
async def test_killed_between_both_calls(
    tmp_path: Path, release: str, listing: dict[str, Any]
) -> None:
    journal = tmp_path / "job.db"
    async with site(release, **listing) as platform:
        assert await killed(platform, journal, "BatchSettled", 1, 200)
        assert not platform.outbox
        async with client_of(platform) as client:
            results = await resumed(client, journal)
        assert len(platform.outbox) == 60
        assert mailed(platform) == Counter(map(address, NEW))
        assert {one.identifier for one in results if one.notified} == NEW
        assert {one.identifier: one.outcome for one in results} == {
            who: Outcome.ALREADY_ENROLLED
            if not who.startswith("new") and who not in NEW
            else Outcome.ALLOWED
            if who.startswith("new")
            else Outcome.ENROLLED
            for who in EVERYBODY
        }


@pytest.mark.parametrize(
    ("event", "count"),
    [
        *(("BatchSent", count) for count in (1, 3, 5, 6, 7)),
        *(("BatchAnswered", count) for count in (1, 5, 6, 7)),
        *(("BatchSettled", count) for count in (1, 2, 3, 4, 6)),
    ],
)
async def test_killed_at_any_moment(tmp_path: Path, event: str, count: int) -> None:
    journal = tmp_path / "job.db"
    async with site() as platform:
        assert await killed(platform, journal, event, count, 40)
        async with client_of(platform) as client:
            results = await resumed(client, journal)
        assert sorted(one.identifier for one in results) == sorted(EVERYBODY)
        assert all(one.outcome.ok for one in results)
        mails = mailed(platform)
        assert set(mails) <= set(map(address, NEW))
        assert max(mails.values(), default=0) <= 1
        for one in results:
            assert one.notified is None or one.notified == mails[address(one.identifier)]
        with JournalReport(journal) as report:
            unnotified = {one.identifier for one in report.unnotified()}
        # Of the learners of a call that was cut off, it is not known who was in before.
        unmailed = {who for who in NEW if not mails[address(who)]}
        assert unmailed <= unnotified
        assert len(unnotified) <= 3 * 40


@pytest.mark.parametrize(("event", "count"), [("BatchSettled", 1), ("BatchSettled", 4)])
async def test_killed_before_all_were_mailed_and_undone(
    tmp_path: Path, event: str, count: int
) -> None:
    """Who was to be mailed is taken back like everybody else, and never mailed."""
    journal = tmp_path / "job.db"
    async with site() as platform:
        before = {one.email for one in platform.enrollments if one.is_active}
        assert await killed(platform, journal, event, count, 40)
        mails = len(platform.outbox)
        async with client_of(platform) as client:
            made = await client.plan_undo(journal)
            undone = await client.undo(journal)
            assert made.plan.pairs == len(undone.results)
            with JournalReport(journal) as report:
                lost = {address(one.identifier) for one in report.results() if one.before is None}
                assert report.pending == made.not_sent - len(lost)
        assert undone.ok
        assert {one.email for one in platform.enrollments if one.is_active} <= before | lost
        assert len(platform.outbox) == mails
