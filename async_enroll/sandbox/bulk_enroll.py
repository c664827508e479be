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
from async_enroll.sandbox.course import Audit, Course, User
from async_enroll.sandbox.database import Database, utc_minute
from async_enroll.sandbox.locks import Deadlock
from async_enroll.sandbox.pace import Effort
from async_enroll.sandbox.transaction import Transaction


@frozen
class Mail:
    """A mail that has left, never to return."""

    action: Action
    to: str
    course_id: str


async def bulk_enroll(
    database: Database, outbox: list[Mail], call: BulkCall, effort: Effort
) -> dict[str, Any]:
    """Do what `call` asks for and return the answer's content.

    Raises Refusal (404) for a course that does not exist, and Crash for a forbidden
    course, a poisonous learner, a deadlock with another call or where `effort` breaks.
    Nothing is committed then, nor when this is cancelled; the mails are out.
    """
    courses = {}
    with database.transaction() as transaction:
        await effort.begin()
        for course_id, cohort in zip_longest(call.courses, call.cohorts):
            course = _open_course(transaction, course_id)
            processing = _Processing(database, transaction, outbox, call, course, cohort)
            results = []
            for identifier in call.identifiers:
                results.append(await processing.result(identifier))
                await effort.pair_done()
            courses[course_id] = {
                "action": call.action.value,
                "auto_enroll": call.auto_enroll,
                "results": results,
            }
        await effort.end()
    return {
        "action": call.action.value,
        "auto_enroll": call.auto_enroll,
        "email_students": call.email_students,
        "courses": courses,
    }


def _open_course(transaction: Transaction, course_id: str) -> Course:
    course = transaction.course(course_id)
    if course is None:
        raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Not found."})
    if course.forbidden:
        raise Crash(f"{course_id} is forbidden")
    return course


@frozen
class _Processing:
    """A call at work in one of its courses."""

    database: Database
    transaction: Transaction
    outbox: list[Mail]
    call: BulkCall
    course: Course
    cohort: str | None
    now: datetime = field(factory=utc_minute)

    async def result(self, identifier: str) -> dict[str, Any]:
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
            await self._enroll(user, address)
        else:
            await self._unenroll(user, address, before)
        after = self._state(user, address)
        self.transaction.audit.append(Audit(self.call.action, address, self.course.course_id))
        if self.cohort is not None:
            before["cohort"] = self.course.placements.get(address.lower())
            self.course.place(address, self.cohort)
            after["cohort"] = self.cohort
        return {"identifier": identifier, "before": before, "after": after}

    def _state(self, user: User | None, address: str) -> dict[str, Any]:
        auto_enroll = self.course.allowed.get(address.lower())
        return {
            "user": user is not None,
            "enrollment": self.course.is_enrolled(user),
            "allowed": auto_enroll is not None,
            "auto_enroll": bool(auto_enroll),
        }

    async def _enroll(self, user: User | None, address: str) -> None:
        await self._lock(address)
        if user:
            self.course.enroll(user, self.now)
        else:
            self.course.allow(address, auto_enroll=self.call.auto_enroll)
        self._mail(address)

    async def _unenroll(self, user: User | None, address: str, before: dict[str, Any]) -> None:
        # As on the real platform, what was read first decides, though another call may
        # have unenrolled the learner while this one waited. A learner who registered after
        # having been allowed is both, and mailed twice.
        if before["enrollment"] or before["allowed"]:
            await self._lock(address)
        if user and before["enrollment"]:
            self.course.unenroll(user)
            self._mail(address)
        if before["allowed"]:
            self.course.withdraw(address)
            self._mail(address)

    async def _lock(self, address: str) -> None:
        try:
            await self.transaction.lock(self.course, address)
        except Deadlock:
            raise Crash(f"deadlock on {address}") from None

    def _mail(self, address: str) -> None:
        if self.call.email_students:
            self.outbox.append(Mail(self.call.action, address, self.course.course_id))
