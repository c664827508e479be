"""Verifying a job: whether what was reported still holds."""

from pathlib import Path

import pytest

from async_enroll import (
    Action,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    Outcome,
    RosterEntry,
)
from async_enroll.jobs.verify import holds
from async_enroll.planning.inverse import Seen
from async_enroll.sandbox import Platform
from tests.sandbox.transcripts import world

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"
UNENROLL = Action.UNENROLL
RELEASES = ["moocit", "2020", "2022", "2025", "2026"]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


async def verified(client: EnrollmentClient, journal: Path) -> dict[tuple[str, str], bool | None]:
    return {(pair.identifier, pair.course_id): pair.holds async for pair in client.verify(journal)}


@pytest.mark.parametrize("release", RELEASES)
async def test_pair_by_pair(release: str, journal: Path) -> None:
    async with (
        world(release) as platform,
        EnrollmentClient(platform.url, platform.token) as client,
    ):
        platform.enroll("learner04", C1)
        platform.enroll("learner05", C1)
        platform.allow("waits@example.org", C1)
        roster = [
            *(RosterEntry(f"learner0{number}", key) for number in (1, 2) for key in (C1, C2)),
            RosterEntry("Learner03@Example.org", C1),
            RosterEntry("learner04", C1, UNENROLL),
            RosterEntry("learner05@example.org", C1, UNENROLL),
            RosterEntry("learner06", C1, UNENROLL),
            RosterEntry("new@example.org", C1),
            RosterEntry("early@example.org", C1),
            RosterEntry("waits@example.org", C1, UNENROLL),
            RosterEntry("nobody", C1),
        ]
        await client.apply(roster, journal=journal)
        seen = await verified(client, journal)
        as_reported = {
            **{(f"learner0{number}", key): True for number in (1, 2) for key in (C1, C2)},
            ("Learner03@Example.org", C1): True,
            ("learner04", C1): True,
            ("learner05@example.org", C1): True,
            ("learner06", C1): True,
            ("new@example.org", C1): None,
            ("early@example.org", C1): None,
            ("waits@example.org", C1): None,
        }
        assert seen == as_reported
        await client.bulk_unenroll(["learner01", "learner03"], [C1])
        await client.bulk_enroll(["learner05", "learner06"], [C1])
        platform.add_user("early", "early@example.org")
        assert await verified(client, journal) == {
            **as_reported,
            ("learner01", C1): False,
            ("Learner03@Example.org", C1): False,
            ("learner05@example.org", C1): False,
            ("learner06", C1): False,
            # Who waited and has registered is enrolled, as asked.
            ("early@example.org", C1): True,
        }
        assert not [one for one in platform.requests if one.status >= 500]


async def test_whose_address_nobody_tells_cannot_be_seen(journal: Path) -> None:
    async with Platform(release="2022", window=None, accounts_tell_addresses=False) as platform:
        platform.add_course(C1)
        platform.add_user("jane", "jane@example.org")
        platform.add_user("john", "john@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            roster = [RosterEntry("jane@example.org", C1), RosterEntry("john", C1)]
            await client.apply(roster, journal=journal)
            assert await verified(client, journal) == {
                ("jane@example.org", C1): None,
                ("john", C1): True,
            }


async def test_who_is_listed_with_an_accent(journal: Path) -> None:
    """The platform takes zoe for Zoë, and may list two people: whom it meant is not known."""
    async with Platform(window=None) as platform:
        platform.add_course(C1)
        platform.add_user("Zoë", "zoe@example.org")
        platform.add_user("renee", "renee@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            roster = [RosterEntry("zoe", C1), RosterEntry("Renée", C1), RosterEntry("Zoë", C1)]
            for number, entry in enumerate(roster):
                one = journal.with_name(f"{number}.db")
                await client.apply([entry], journal=one)
                seen = await verified(client, one)
                expected = True if entry.identifier == "Zoë" else None
                assert seen == {(entry.identifier, C1): expected}


@pytest.mark.parametrize("many", [1, 12])
async def test_what_failed_is_not_asked_about(journal: Path, many: int) -> None:
    async with Platform(window=None) as platform:
        platform.add_course(C1)
        names = [f"learner{number}" for number in range(many)]
        for name in names:
            platform.add_user(name, f"{name}@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            roster = [*(RosterEntry(name, C1) for name in names), RosterEntry("nobody", C1)]
            await client.apply(roster, journal=journal)
            assert await verified(client, journal) == {(name, C1): True for name in names}


async def test_a_listing_that_fails_tells_nothing(journal: Path) -> None:
    async with Platform(window=None) as platform:
        platform.add_course(C1)
        for number in range(12):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        async with EnrollmentClient(platform.url, platform.token) as client:
            await client.apply([RosterEntry(f"learner{n}", C1) for n in range(12)], journal=journal)
        port = int(platform.url.rpartition(":")[2])
    async with (
        Platform(listing=None, core_listing=False, port=port) as platform,
        EnrollmentClient(platform.url, platform.token) as client,
    ):
        pairs = client.verify(journal)
        with pytest.raises(EnrollError, match="lists no enrollments"):
            await anext(pairs)


async def test_the_journal_of_another_site(journal: Path) -> None:
    async with Platform() as platform, EnrollmentClient(platform.url, platform.token) as client:
        platform.add_course(C1)
        await client.apply([RosterEntry("new@example.org", C1)], journal=journal)
    async with Platform() as platform, EnrollmentClient(platform.url, platform.token) as client:
        with pytest.raises(ConfigurationError, match="the journal is of"):
            await verified(client, journal)


@pytest.mark.parametrize(
    ("outcome", "user", "seen", "verdict"),
    [
        (Outcome.ALREADY_ENROLLED, True, Seen(True, account=True), False),
        (Outcome.ALREADY_ENROLLED, True, Seen(True, account=False), None),
        (Outcome.ALREADY_ENROLLED, True, Seen(True), None),
        (Outcome.ENROLLED, True, Seen(False), None),
        (Outcome.ENROLLED, True, Seen(True, True, "verified"), True),
        (Outcome.ALLOWED, False, Seen(True, False, "audit", True), False),
        (Outcome.ALLOWED, True, Seen(True, False, "audit", True), None),
        (Outcome.ALLOWED, False, Seen(True, account=True), None),
        (Outcome.WITHDRAWN, True, Seen(True, True, "audit", True), False),
        (Outcome.WITHDRAWN, True, Seen(True, False, "audit", True), None),
        (Outcome.NOT_ENROLLED, False, Seen(True, account=False), None),
        (Outcome.NOT_ENROLLED, False, Seen(True), None),
        (Outcome.NOT_ENROLLED, True, Seen(True, account=True), True),
        (Outcome.UNENROLLED, True, Seen(True, account=False), None),
        (Outcome.UNENROLLED, True, Seen(False), None),
    ],
)
def test_no_more_is_told_than_is_known(
    outcome: Outcome, user: bool, seen: Seen, verdict: bool | None
) -> None:
    assert holds(outcome, user, seen) is verdict
