"""Carries out a bulk call: every identifier in every course, in one transaction."""

from __future__ import annotations

from http import HTTPStatus
from itertools import zip_longest
from typing import Any
from uuid import uuid4

from attrs import frozen

from async_enroll.sandbox.domain.bulk_call import BulkCall
from async_enroll.sandbox.domain.learner import Learners
from async_enroll.sandbox.domain.mail import Mail
from async_enroll.sandbox.domain.release import Release
from async_enroll.sandbox.faults.pace import Effort
from async_enroll.sandbox.http.answers import Crash, Refusal
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.storage.transaction import Transaction


@frozen
class BulkEnroll:
    """Carries out bulk calls. `names_courses`: whether a 404 names the missing course."""

    database: Database
    release: Release
    outbox: list[Mail]
    names_courses: bool = True

    async def __call__(self, call: BulkCall, effort: Effort) -> dict[str, Any]:
        """Carry out `call` and return the content of the answer.

        Raises Refusal (404) for a missing course; raises Crash for a forbidden course, a poisonous
        learner, a query after a database error, or where `effort` fails. Then nothing is committed,
        nor after a cancellation or a database error at the very last learner (case "database
        failure at the last identifier"). Mail that has been sent is not recalled.
        """
        with self.database.transaction() as work:
            await effort.begin()
            courses = {
                course_id: await self._course(work, call, course_id, cohort, effort)
                for course_id, cohort in zip_longest(call.courses, call.cohorts)
            }
            await effort.end()
        return {
            "action": call.action.value,
            "auto_enroll": call.auto_enroll_told,
            "email_students": call.email_students_told,
            "courses": courses,
        }

    async def _course(
        self, work: Transaction, call: BulkCall, course_id: str, cohort: str | None, effort: Effort
    ) -> dict[str, Any]:
        """Return the part of the answer for one course."""
        if call.async_processing:
            return _promise(call, cohort)
        if work.broken:
            raise Crash("the next course is looked up in a broken transaction")
        self._look_up(call, course_id)
        content = {"action": call.action.value, "auto_enroll": call.auto_enroll}
        if call.role:
            # Case "role".
            return content | {"results": [{"error": True, "message": "Not a valid role choice"}]}
        if call.identifiers is None:
            raise Crash("the identifiers cannot be split")
        learners = Learners(self.database, self.release, work, self.outbox, call, course_id, effort)
        results = []
        for identifier in call.identifiers:
            results.append(await learners.result(identifier))
            await effort.pair_done()
        if cohort is not None:
            if work.broken:
                raise Crash("the cohort is looked up in a broken transaction")
            course = self.database.course(course_id)
            name = course.cohort(cohort) if course else None
            if name is None:
                raise Crash(f"{cohort!r} was there when the call was read")
            learners.place(results, name, cohort)
        return content | {"results": results}

    def _look_up(self, call: BulkCall, course_id: str) -> None:
        """Refuse a course as the release does; raises Refusal and Crash.

        Since 2025 a course is only looked up for its mail, and permission is not checked (cases
        "course missing", "course forbidden").
        """
        if self.release.asks_for_course or call.email_students:
            course = self.database.course(course_id)
            if course is None:
                detail = f"Course not found: {course_id}." if self.names_courses else "Not found."
                raise Refusal(HTTPStatus.NOT_FOUND, {"detail": detail})
            if course.forbidden and self.release.asks_for_course:
                raise Crash(f"{course_id} is forbidden")


def _promise(call: BulkCall, cohort: str | None) -> dict[str, Any]:
    """Return the answer of 2026 to an asynchronous call; the sandbox does not run the task.

    Cases "async_processing" and "async_processing with cohort".
    """
    if cohort is not None:
        raise Crash("there are no results to find learners in")
    number = len(call.identifiers or ())
    return {
        "action": call.action.value,
        "auto_enroll": call.auto_enroll,
        "async_processing": True,
        "task_id": str(uuid4()),
        "task_state": "PENDING",
        "message": f"Async {call.action.value} task submitted for {number} students",
        "total_students": number,
    }
