"""What a bulk call does to learners, and what it says of it."""

from typing import Any

import anyio
import pytest

from async_enroll.models import Action
from async_enroll.sandbox import Allowed, Audit, Mail, Platform
from tests.sandbox.raw import C1, C2, MISSING, Raw, small_platform, speaking_to, state

NEW = "new@example.org"
ENROLLED = state("user", "enrollment")
WAITING = state("allowed", "auto_enroll")


async def test_enrolls_a_user_in_every_course(platform: Platform, raw: Raw) -> None:
    answer = await raw.bulk("Jane", f"{C1},{C2}")
    result = {"identifier": "Jane", "before": state("user"), "after": ENROLLED}
    course = {"action": "enroll", "auto_enroll": True, "results": [result]}
    assert answer.status == 200
    assert answer.json == {
        "action": "enroll",
        "auto_enroll": True,
        "email_students": False,
        "courses": {C1: course, C2: course},
    }
    assert platform.is_enrolled("jane@example.org", C1)
    assert platform.is_enrolled("jane@example.org", C2)
    assert not platform.is_enrolled("joe", C1)


@pytest.mark.parametrize("identifier", ["Jane", "jane", "Jane@example.org", "JANE@EXAMPLE.ORG"])
async def test_knows_a_user_by_name_and_address(
    platform: Platform, raw: Raw, identifier: str
) -> None:
    (result,) = await raw.results(identifier, C1)
    assert result == {"identifier": identifier, "before": state("user"), "after": ENROLLED}
    assert platform.is_enrolled("Jane", C1)


async def test_waits_for_an_unknown_address(platform: Platform, raw: Raw) -> None:
    (result,) = await raw.results(NEW, C1)
    assert result == {"identifier": NEW, "before": state(), "after": WAITING}
    assert platform.is_allowed("NEW@example.org", C1)
    platform.add_user("new", NEW)
    assert platform.is_enrolled("new", C1)
    (result,) = await raw.results(NEW, C1, action="unenroll")
    # Open edX keeps the wait on record when it has come to its end.
    assert result["before"] == state("user", "enrollment", "allowed", "auto_enroll")
    assert result["after"] == state("user")


async def test_without_auto_enroll_registering_does_not_enroll(
    platform: Platform, raw: Raw
) -> None:
    (result,) = await raw.results(NEW, C1, auto_enroll=False)
    assert result["after"] == state("allowed")
    platform.add_user("new", NEW)
    assert not platform.is_enrolled("new", C1)
    (result,) = await raw.results("new", C1)
    assert result["before"] == state("user", "allowed")


async def test_unenrolls_and_withdraws(platform: Platform, raw: Raw) -> None:
    await raw.bulk(f"Jane,{NEW}", C1)
    jane, new = await raw.results(f"Jane,{NEW}", C1, action="unenroll")
    assert jane == {"identifier": "Jane", "before": ENROLLED, "after": state("user")}
    assert new == {"identifier": NEW, "before": WAITING, "after": state()}
    assert not platform.is_enrolled("Jane", C1)
    assert not platform.is_allowed(NEW, C1)
    again = await raw.results("Jane", C1, action="unenroll")
    assert again == [{"identifier": "Jane", "before": state("user"), "after": state("user")}]


async def test_an_ended_enrollment_stays_on_record_and_is_resumed(
    platform: Platform, raw: Raw
) -> None:
    await raw.bulk("Jane", C1)
    await raw.bulk("Jane", C1, action="unenroll")
    assert [row.is_active for row in platform.enrollments] == [False]
    await raw.bulk("Jane", C1)
    assert [row.is_active for row in platform.enrollments] == [True]


async def test_repeats_are_processed_and_mailed_again(platform: Platform, raw: Raw) -> None:
    first, second = await raw.results("Jane Jane", C1, email_students=True)
    assert (first["before"], second["before"]) == (state("user"), ENROLLED)
    assert platform.outbox == [Mail(Action.ENROLL, "Jane@example.org", C1)] * 2
    assert platform.requests[-1].pairs == 2


async def test_enrolling_mails_everybody(platform: Platform, raw: Raw) -> None:
    platform.enroll("Jane", C1)
    await raw.bulk(f"Jane,joe,{NEW},preflight@", C1, email_students=True)
    addresses = ["Jane@example.org", "joe@example.org", NEW]
    assert platform.outbox == [Mail(Action.ENROLL, address, C1) for address in addresses]


async def test_unenrolling_mails_only_whom_it_concerns(platform: Platform, raw: Raw) -> None:
    await raw.bulk(f"Jane,{NEW}", C1)
    await raw.bulk(f"Jane,joe,{NEW},x@y.org", C1, action="unenroll", email_students=True)
    addresses = ["Jane@example.org", NEW]
    assert platform.outbox == [Mail(Action.UNENROLL, address, C1) for address in addresses]


async def test_no_mail_unless_asked_for(platform: Platform, raw: Raw) -> None:
    await raw.bulk(f"Jane,{NEW}", C1)
    assert platform.outbox == []


async def test_an_invalid_identifier_changes_nothing(platform: Platform, raw: Raw) -> None:
    results = await raw.results("preflight@", C1, email_students=True, cohorts="A")
    assert results == [{"identifier": "preflight@", "invalidIdentifier": True}]
    assert (platform.audit, platform.outbox, platform.enrollments) == ([], [], [])
    assert not platform.is_allowed("preflight@", C1)
    assert platform.cohort_of("preflight@", C1) is None


async def test_a_broken_learner_is_flagged(platform: Platform, raw: Raw) -> None:
    platform.add_user("broken", "broken@example.org", broken=True)
    broken, jane = await raw.results("broken,Jane", C1, email_students=True)
    assert broken == {"identifier": "broken", "error": True}
    assert jane["after"] == ENROLLED
    assert [mail.to for mail in platform.outbox] == ["Jane@example.org"]


async def test_what_was_done_is_audited(platform: Platform, raw: Raw) -> None:
    await raw.bulk(f"joe,{NEW}", C1)
    assert platform.audit == [
        Audit(Action.ENROLL, "joe@example.org", C1),
        Audit(Action.ENROLL, NEW, C1),
    ]


@pytest.mark.parametrize("action", ["enroll", "unenroll"])
async def test_the_reason_is_kept(platform: Platform, raw: Raw, action: str) -> None:
    await raw.bulk(f"joe,{NEW}", C1, action=action, reason="Course 4, term 2")
    assert [record.reason for record in platform.audit] == ["Course 4, term 2"] * 2


async def test_people_can_be_made_to_wait(platform: Platform, raw: Raw) -> None:
    platform.allow("New@example.org", C1, auto_enroll=False)
    assert platform.allowed == [Allowed(NEW, C1, auto_enroll=False)]
    (result,) = await raw.results(NEW, C1, action="unenroll")
    assert result["before"] == state("allowed")
    assert platform.allowed == []


def snapshot(platform: Platform) -> dict[str, Any]:
    return {
        "enrollments": platform.enrollments,
        "audit": list(platform.audit),
        "allowed": [platform.is_allowed(email, C1) for email in (NEW, "old@example.org")],
        "cohorts": [platform.cohort_of(identifier, C1) for identifier in ("Jane", "joe", NEW)],
    }


FORBIDDEN = "course-v1:Demo+Forbidden+2026"


@pytest.mark.parametrize(
    ("identifiers", "courses", "status"),
    [
        (f"Jane,joe,{NEW}", f"{C1},{MISSING}", 404),
        (f"Jane,joe,{NEW}", f"{C1},{FORBIDDEN}", 500),
        (f"Jane,joe,{NEW},poisonous", C1, 500),
    ],
)
@pytest.mark.parametrize("action", ["enroll", "unenroll"])
async def test_a_failed_call_is_undone_but_for_its_mail(
    platform: Platform, raw: Raw, identifiers: str, courses: str, status: int, action: str
) -> None:
    platform.add_course(FORBIDDEN, forbidden=True)
    platform.add_user("poisonous", "poisonous@example.org", poisonous=True)
    await raw.bulk("Jane,old@example.org", C1, cohorts="A")
    await raw.bulk("joe", C1)
    await raw.bulk("joe", C1, action="unenroll")
    before = snapshot(platform)
    identifiers = f"old@example.org,{NEW},{identifiers}"
    answer = await raw.bulk(identifiers, courses, action=action, email_students=True)
    assert answer.status == status
    if status == 404:
        assert answer.json == {"detail": f"Course not found: {MISSING}."}
    else:
        assert answer.is_page
    assert snapshot(platform) == before
    assert "Jane@example.org" in [mail.to for mail in platform.outbox]


async def test_a_failed_call_with_cohorts_is_undone(platform: Platform, raw: Raw) -> None:
    await raw.bulk("Jane", C1, cohorts="A")
    platform.add_user("poisonous", "poisonous@example.org", poisonous=True)
    assert (await raw.bulk("Jane,joe,poisonous", C1, cohorts="B")).status == 500
    assert platform.cohort_of("Jane", C1) == "A"
    assert platform.cohort_of("joe", C1) is None


async def test_an_older_framework_does_not_say_which_course_is_missing() -> None:
    async with (
        small_platform(names_missing_courses=False) as platform,
        speaking_to(platform) as raw,
    ):
        answer = await raw.bulk("Jane", f"{C1},{MISSING}")
        assert (answer.status, answer.json) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("course", [MISSING, FORBIDDEN])
async def test_an_invalid_identifier_shows_bad_courses(
    platform: Platform, raw: Raw, course: str
) -> None:
    platform.add_course(FORBIDDEN, forbidden=True)
    answer = await raw.bulk("preflight@", f"{C1},{course}")
    assert answer.status == (404 if course == MISSING else 500)


async def test_cohorts(platform: Platform, raw: Raw) -> None:
    (first,) = await raw.results("Jane", C1, cohorts="A")
    assert first["before"] == state("user", cohort=None)
    assert first["after"] == state("user", "enrollment", cohort="A")
    assert platform.cohort_of("jane", C1) == "A"
    (second,) = await raw.results("Jane", C1, cohorts="B")
    assert second["before"] == state("user", "enrollment", cohort="A")
    assert second["after"] == state("user", "enrollment", cohort="B")
    (without,) = await raw.results("Jane", C1)
    assert without["after"] == ENROLLED
    assert platform.cohort_of("jane", C1) == "B"


async def test_a_cohort_waits_for_registration_too(platform: Platform, raw: Raw) -> None:
    (result,) = await raw.results(NEW, C1, cohorts="A")
    assert result["before"] == state(cohort=None)
    assert result["after"] == state("allowed", "auto_enroll", cohort="A")
    platform.add_user("new", NEW)
    assert platform.cohort_of("new", C1) == "A"


async def test_a_call_is_finished_though_its_caller_has_left() -> None:
    async with (
        small_platform(seconds_per_call=0.5, workers=1) as platform,
        speaking_to(platform) as raw,
    ):
        with anyio.move_on_after(0.3) as scope:
            await raw.bulk("Jane", C1)
        assert scope.cancelled_caught
        assert not platform.is_enrolled("Jane", C1)
        # Its turn comes when the only worker has done with the first call.
        await raw.bulk("joe", C1)
        assert platform.is_enrolled("Jane", C1)
    assert [request.status for request in platform.requests] == [200, 200]
