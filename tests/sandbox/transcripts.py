"""The transcripts of Open edX's code of four dates, and the world they were taken in.

``open-edx-transcripts.jsonl`` has a request a line, what each release answered, and what
that changed; its first line describes the world and the format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from async_enroll.sandbox import Platform

COHORTS = ("Group A", "Group B")


def world(release: str) -> Platform:
    """The world of the transcripts on a release, nobody enrolled anywhere yet.

    Not served yet (enter it with ``async with`` or ``with``), and without a throttle, since
    the requests came faster than the window lets them. Tokens are "staff-token",
    "plain-token" (of a user who is not staff) and "old-token" (expired). Raises ValueError
    for an unknown release.
    """
    platform = Platform(release=release, window=None, token="staff-token", username="staff")
    platform.add_token(staff=False, token="plain-token", username="plain")
    platform.add_token(staff=True, token="old-token", username="staff", expired=True)
    platform.add_course("course-v1:Org+C1+2026", cohorts=COHORTS)
    platform.add_course("course-v1:Org+C2+2026", cohorts=COHORTS)
    for course_id in ("course-v1:Org+C3+2026", "Org/Old/2013", "ccx-v1:Org+C1+2026+ccx@1"):
        platform.add_course(course_id)
    platform.add_course("course-v1:Org+Closed+2026", forbidden=True)
    for number in range(1, 41):
        name = f"learner{number:02}"
        # A trigger of their database refused to enroll this one.
        platform.add_user(name, f"{name}@example.org", database_fails=number == 30)
    for name in ("staff", "plain"):
        platform.add_user(name, f"{name}@example.org")
    platform.add_user("sleeper", "sleeper@example.org", active=False)
    platform.add_user("noprofile", "noprofile@example.org", broken=True)
    platform.add_user("Zoë", "zoe@example.org")
    platform.add_user("twin@example.org", "other@example.org")
    platform.add_user("twin", "twin@example.org")
    platform.add_user("mailfails1", "mailfails1@example.org", mail_fails=True)
    platform.add_user("leaving", "leaving@example.org", leaving=True)
    platform.add_retired_user("retired1", "gone@example.org")
    return platform


def cases() -> list[dict[str, Any]]:
    """All cases, in order."""
    path = Path(__file__).parent / "open-edx-transcripts.jsonl"
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()[1:]]


def answer_of(case: Mapping[str, Any], release: str) -> dict[str, Any] | None:
    """What a release answered, None where it is not told."""
    for releases, answer in case.get("answers", {}).items():
        if release in releases.split():
            found: dict[str, Any] = answer
            return found
    return None


def effects(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """What a request may change, by the transcripts' names; `audits` and `mails` only grow."""
    return {
        "rows": [(row.username, row.course_id, row.is_active) for row in platform.enrollments],
        "allowed": [(row.email, row.course_id, row.auto_enroll) for row in platform.allowed],
        "cohorts": [(row.learner, row.course_id, row.cohort) for row in platform.cohorts],
        "precohorts": [(row.learner, row.course_id, row.cohort) for row in platform.precohorts],
        "audits": [(record.email, record.course_id) for record in platform.audit],
        "mails": [(mail.to, mail.action.value, mail.course_id) for mail in platform.outbox],
    }


def effect(before: Mapping[str, list[Any]], after: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What a request has changed, as the transcripts put it."""
    found: dict[str, Any] = {}
    gone = {}
    for kind in ("rows", "allowed", "cohorts", "precohorts"):
        if came := sorted(set(after[kind]) - set(before[kind])):
            found[kind] = [list(row) for row in came]
        if went := sorted(set(before[kind]) - set(after[kind])):
            gone[kind] = [list(row) for row in went]
    if audits := len(after["audits"]) - len(before["audits"]):
        found["audits"] = audits
    if mails := after["mails"][len(before["mails"]) :]:
        found["mails"] = [list(mail) for mail in mails]
    if gone:
        found["gone"] = gone
    return found
