"""People who are out of the ordinary, and what each release does for them."""

from typing import Any

import pytest

from async_enroll.models import Action
from async_enroll.sandbox import RELEASES, Mail, Platform
from tests.sandbox.raw import C1, C2, small_platform, speaking_to, state

FORMER = ["moocit", "2020", "2022", "2025"]
FAILED = {
    "error": True,
    "success": False,
    "error_type": "general_error",
    "error_message": "Something went wrong while processing this learner. "
    "Please try again or contact support.",
}


def flagged(identifier: str, release: str) -> dict[str, Any]:
    told = FAILED if release == "2026" else {"error": True}
    return {"identifier": identifier, **told}


async def results(platform: Platform, identifiers: str, **fields: Any) -> list[dict[str, Any]]:
    async with speaking_to(platform) as raw:
        return await raw.results(identifiers, C1, **fields)


@pytest.mark.parametrize("release", RELEASES)
async def test_an_account_that_is_not_activated_is_allowed_since_2022(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("sleeper", "sleeper@example.org", active=False)
        (result,) = await results(platform, "sleeper", email_students=True)
        enrolled = release == "2020"
        told = ("enrollment",) if enrolled else ("allowed", "auto_enroll")
        assert result["after"] == state("user", *told)
        assert result.get("state_transition") == ("N/A" if release == "2026" else None)
        assert platform.outbox == [Mail(Action.ENROLL, "sleeper@example.org", C1)]
        assert platform.is_enrolled("sleeper", C1) is enrolled
        platform.activate("sleeper")
        assert platform.is_enrolled("sleeper", C1)


@pytest.mark.parametrize("release", RELEASES)
async def test_nothing_is_done_to_a_retired_address(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_retired_user("former", "gone@example.org")
        (result,) = await results(platform, "Gone@example.org", email_students=True)
        assert result["before"] == result["after"] == state()
        assert (platform.enrollments, platform.allowed, platform.outbox) == ([], [], [])
        assert len(platform.audit) == 1


@pytest.mark.parametrize("release", RELEASES)
async def test_who_asked_to_be_retired_has_no_name_any_more(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("leaving", "leaving@example.org", leaving=True)
        by_name, by_address = await results(platform, "leaving,leaving@example.org")
        assert by_name["invalidIdentifier"] is True
        assert by_address["after"] == state("user", "enrollment")


@pytest.mark.parametrize("release", RELEASES)
async def test_who_is_two_users_fails_the_call(release: str) -> None:
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        platform.add_user("twin@example.org", "other@example.org")
        platform.add_user("twin", "twin@example.org")
        answer = await raw.bulk("Jane,twin@example.org", C1, email_students=True)
        assert (answer.status, answer.is_page) == (500, True)
        assert (platform.enrollments, len(platform.outbox)) == ([], 1)
        assert (await raw.bulk("twin,other@example.org", C1)).status == 200
        assert platform.is_enrolled("twin", C1)
        assert platform.is_enrolled("other@example.org", C1)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("action", ["enroll", "unenroll"])
async def test_whose_mail_fails_is_done_before_2026(release: str, action: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("mute", "mute@example.org", mail_fails=True)
        if action == "unenroll":
            await results(platform, "mute,joe", auto_enroll=True)
        told = await results(platform, "mute,joe", action=action, email_students=True)
        assert told[0] == flagged("mute", release)
        assert platform.outbox == [Mail(Action(action), "joe@example.org", C1)]
        done = (action == "enroll") is platform.is_enrolled("mute", C1)
        assert done is (release != "2026")
        assert "mute@example.org" not in [
            record.email for record in platform.audit if record.action is Action(action)
        ]


@pytest.mark.parametrize("release", RELEASES)
async def test_a_mail_that_fails_stops_no_call_that_mails_nobody(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("mute", "mute@example.org", mail_fails=True)
        (result,) = await results(platform, "mute")
        assert result["after"] == state("user", "enrollment")


@pytest.mark.parametrize("release", FORMER)
async def test_a_database_error_at_the_last_learner_undoes_all_behind_a_200(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("locked", "locked@example.org", database_fails=True)
        told = await results(platform, "Jane,locked", email_students=True)
        assert told[0]["after"] == state("user", "enrollment")
        assert told[1] == flagged("locked", release)
        assert (platform.enrollments, platform.audit) == ([], [])
        assert platform.outbox == [Mail(Action.ENROLL, "Jane@example.org", C1)]


@pytest.mark.parametrize("release", FORMER)
@pytest.mark.parametrize(
    ("identifiers", "courses", "fields"),
    [
        ("Jane,locked,joe", C1, {}),
        ("Jane,locked,preflight@", C1, {}),
        ("Jane,locked", f"{C1},{C2}", {}),
        ("Jane,locked", C1, {"cohorts": "A"}),
    ],
)
async def test_a_database_error_before_another_query_is_a_500(
    release: str, identifiers: str, courses: str, fields: dict[str, str]
) -> None:
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        platform.add_user("locked", "locked@example.org", database_fails=True)
        answer = await raw.bulk(identifiers, courses, email_students=True, **fields)
        assert (answer.status, answer.is_page) == (500, True)
        assert (platform.enrollments, platform.audit) == ([], [])
        assert platform.outbox == [Mail(Action.ENROLL, "Jane@example.org", C1)]


async def test_on_2026_a_database_error_is_one_learner_s_alone() -> None:
    async with small_platform(release="2026") as platform:
        platform.add_user("locked", "locked@example.org", database_fails=True)
        told = await results(platform, "Jane,locked,joe", email_students=True, cohorts="A")
        assert [result["success"] for result in told] == [True, False, True]
        assert told[1] == flagged("locked", "2026")
        assert {row.username for row in platform.enrollments} == {"Jane", "joe"}
        assert len(platform.audit) == len(platform.outbox) == 2


@pytest.mark.parametrize("release", RELEASES)
async def test_who_is_enrolled_already_needs_no_activation(release: str) -> None:
    async with small_platform(release=release) as platform:
        platform.add_user("locked", "locked@example.org", database_fails=True)
        platform.enroll("locked", C1)
        (result,) = await results(platform, "locked")
        assert result["after"] == state("user", "enrollment")


@pytest.mark.parametrize("release", RELEASES)
async def test_an_address_that_no_column_holds(release: str) -> None:
    address = "@".join(("a" * 60, ".".join(("b" * 60, "b" * 60, "b" * 60, "c" * 44, "org"))))
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        told = await raw.results(f"{address},Jane", C1)
        assert told[0] == flagged(address, release)
        assert platform.is_enrolled("Jane", C1)
        # What is to be undone is nothing, but it cannot be audited.
        answer = await raw.bulk(f"{address},Jane", C1, action="unenroll")
        assert answer.status == (200 if release == "2026" else 500)
