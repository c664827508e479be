"""What a bulk call does: every identifier in every course, all of it or nothing but the mail."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from itertools import zip_longest
from typing import Any

from attrs import field, frozen

from async_enroll.models import Action
from async_enroll.sandbox.addresses import is_plausible_address
from async_enroll.sandbox.answers import Crash, Refusal
from async_enroll.sandbox.bulk_call import BulkCall
from async_enroll.sandbox.database import Audit, Course, Database, User, utc_minute


@frozen
class Mail:
    """A mail that has left, never to return."""

    action: Action
    to: str
    course_id: str


def bulk_enroll(database: Database, outbox: list[Mail], call: BulkCall) -> dict[str, Any]:
    """Do what `call` asks for and return the answer's content.

    Raises Refusal (404) for a course that does not exist and Crash for a forbidden
    course or a poisonous learner; the database is then as it was, the mails are out.
    """
    courses = {}
    with database.transaction():
        for course_id, cohort in zip_longest(call.courses, call.cohorts):
            course = _open_course(database, course_id)
            processing = _Processing(database, outbox, call, course, cohort)
            courses[course_id] = {
                "action": call.action.value,
                "auto_enroll": call.auto_enroll,
                "results": [processing.result(identifier) for identifier in call.identifiers],
            }
    return {
        "action": call.action.value,
        "auto_enroll": call.auto_enroll,
        "email_students": call.email_students,
        "courses": courses,
    }


def _open_course(database: Database, course_id: str) -> Course:
    course = database.courses.get(course_id)
    if course is None:
        raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Not found."})
    if course.forbidden:
        raise Crash(f"{course_id} is forbidden")
    return course


@frozen
class _Processing:
    """A call at work in one of its courses."""

    database: Database
    outbox: list[Mail]
    call: BulkCall
    course: Course
    cohort: str | None
    now: datetime = field(factory=utc_minute)

    def result(self, identifier: str) -> dict[str, Any]:
        """Process one identifier."""
        user = self.database.find_user(identifier)
        address = user.email if user else identifier
        if not is_plausible_address(address):
            return {"identifier": identifier, "invalidIdentifier": True}
        if user and user.poisonous:
            raise Crash(f"{identifier} is poisonous")
        if user and user.broken:
            return {"identifier": identifier, "error": True}
        before = self._state(user, address)
        if self.call.action is Action.ENROLL:
            self._enroll(user, address)
        else:
            self._unenroll(user, address, before)
        after = self._state(user, address)
        self.database.record(Audit(self.call.action, address, self.course.course_id))
        if self.cohort is not None:
            before["cohort"] = self.course.placements.get(address.lower())
            self.database.place(address, self.course, self.cohort)
            after["cohort"] = self.cohort
        return {"identifier": identifier, "before": before, "after": after}

    def _state(self, user: User | None, address: str) -> dict[str, Any]:
        auto_enroll = self.course.allowed.get(address.lower())
        return {
            "user": user is not None,
            "enrollment": self.database.is_enrolled(user, self.course),
            "allowed": auto_enroll is not None,
            "auto_enroll": bool(auto_enroll),
        }

    def _enroll(self, user: User | None, address: str) -> None:
        if user:
            self.database.enroll(user, self.course, self.now)
        else:
            self.database.allow(address, self.course, auto_enroll=self.call.auto_enroll)
        self._mail(address)

    def _unenroll(self, user: User | None, address: str, before: dict[str, Any]) -> None:
        # A learner who registered after having been allowed is both, and mailed twice.
        if user and before["enrollment"]:
            self.database.unenroll(user, self.course)
            self._mail(address)
        if before["allowed"]:
            self.database.withdraw(address, self.course)
            self._mail(address)

    def _mail(self, address: str) -> None:
        if self.call.email_students:
            self.outbox.append(Mail(self.call.action, address, self.course.course_id))
