"""Enrolls or unenrolls one learner in one course, and returns the result."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from async_enroll.models import Action
from async_enroll.sandbox.domain.addresses import is_plausible_address
from async_enroll.sandbox.domain.bulk_call import BulkCall
from async_enroll.sandbox.domain.mail import Mail
from async_enroll.sandbox.domain.release import Release
from async_enroll.sandbox.faults.pace import Effort
from async_enroll.sandbox.http.answers import Crash
from async_enroll.sandbox.storage.collation import WIDEST
from async_enroll.sandbox.storage.database import Database, utc_now
from async_enroll.sandbox.storage.locks import Deadlock
from async_enroll.sandbox.storage.rows import Audit, Rows, User
from async_enroll.sandbox.storage.transaction import Transaction

State = dict[str, Any]


class _Failure(Exception):
    """The platform fails on this learner; the database is intact."""


class _DatabaseError(_Failure):
    """The database fails; without a savepoint, the transaction is broken."""


@frozen
class Learners:
    """Processes the identifiers of a call in one of its courses, one after the other."""

    database: Database
    release: Release
    transaction: Transaction
    outbox: list[Mail]
    call: BulkCall
    course_id: str
    effort: Effort
    _rows: Rows = field(init=False)

    @_rows.default
    def _opened(self) -> Rows:
        return self.transaction.rows(self.course_id)

    async def result(self, identifier: str) -> dict[str, Any]:
        """Process one identifier. Raises Crash where the platform answers 500."""
        if self.transaction.broken:
            raise Crash("the look-up fails: the transaction is broken")
        user = self._find(identifier)
        address = user.email if user else identifier
        if not is_plausible_address(address):
            return self._failed(identifier, "invalidIdentifier")
        try:
            before, after = await self._changed(user, address)
        except _Failure as failure:
            if isinstance(failure, _DatabaseError) and not self.release.savepoints:
                self.transaction.broken = True
            return self._failed(identifier, "error")
        result: dict[str, Any] = {"identifier": identifier, "before": before, "after": after}
        if self.release.savepoints:
            result["success"] = True
            result["state_transition"] = _transition(self.call, before, after)
        return result

    def _find(self, identifier: str) -> User | None:
        users = self.database.find_users(identifier)
        # Case "username is another's address".
        if len(users) > 1 or any(user.poisonous for user in users):
            raise Crash(f"{identifier} is {len(users)} users, or poisonous")
        user = users[0] if users else None
        # Case "user who asked to be retired, by name": by that spelling of it alone.
        return None if user and user.leaving and user.username == identifier else user

    def _failed(self, identifier: str, kind: str) -> dict[str, Any]:
        result: dict[str, Any] = {"identifier": identifier, kind: True}
        if self.release.savepoints:
            error_type, message = _ERRORS[kind]
            result |= {"success": False, "error_type": error_type, "error_message": message}
        return result

    async def _changed(self, user: User | None, address: str) -> tuple[State, State]:
        """Return the states before and after. Raises _Failure; raises Crash if the audit fails."""
        if self.release.savepoints:
            with self.transaction.savepoint():
                states = await self._change(user, address)
                self._audit(address)
        else:
            states = await self._change(user, address)
            try:
                self._audit(address)
            except _Failure:
                raise Crash("the audit stands outside of what is caught") from None
        return states

    async def _change(self, user: User | None, address: str) -> tuple[State, State]:
        before = self._state(user, address)
        if self.call.action is Action.ENROLL:
            await self._enroll(user, address)
        else:
            await self._unenroll(user, address, before)
        return before, self._state(user, address)

    def _state(self, user: User | None, address: str) -> State:
        if user and user.broken:
            # Case "user without a profile".
            raise _Failure
        waiting = self._rows.waits_for(address)
        return {
            "user": user is not None,
            "enrollment": self._rows.is_enrolled(user),
            "allowed": waiting is not None,
            "auto_enroll": waiting is not None and waiting.auto_enroll,
        }

    async def _enroll(self, user: User | None, address: str) -> None:
        # Case "inactive user".
        if user and (user.active or self.release.enrolls_inactive):
            await self._lock(address)
            # Cases "database failure …": at the activation of an enrollment.
            self._write(fails=user.database_fails and not self._rows.is_enrolled(user))
            self._rows.enroll(user, utc_now())
            self._mail(user, address)
        elif not self.database.is_retired(address):
            if len(address) > WIDEST:
                # Case "292 characters". Django tries this in a savepoint of its own.
                raise _Failure
            await self._lock(address)
            self._write()
            self._rows.allow(address, auto_enroll=self.call.auto_enroll)
            self._mail(user, address)

    async def _unenroll(self, user: User | None, address: str, before: State) -> None:
        # As on the real platform, what was read first decides, though another call may
        # have unenrolled the learner while this one waited. A learner who registered after
        # having been allowed is both, and mailed twice.
        if before["enrollment"] or before["allowed"]:
            await self._lock(address)
            self._write()
        if user and before["enrollment"]:
            self._rows.unenroll(user)
            self._mail(user, address)
        if before["allowed"]:
            self._rows.withdraw(address)
            self._mail(user, address)

    async def _lock(self, address: str) -> None:
        try:
            await self.transaction.lock(self.course_id, address)
        except Deadlock:
            raise _DatabaseError from None

    def _write(self, *, fails: bool = False) -> None:
        if fails or self.effort.database_fails:
            raise _DatabaseError

    def _mail(self, user: User | None, address: str) -> None:
        if not self.call.email_students:
            return
        if self.effort.mail_fails or (user and user.mail_fails):
            # Case "mail cannot be sent".
            raise _Failure
        # Case "upper-case unknown then lower".
        to = user.email if user else address.lower()
        self.outbox.append(Mail(self.call.action, to, self.course_id))

    def _audit(self, address: str) -> None:
        if len(address) > WIDEST:
            raise _Failure
        self.transaction.audit.append(
            Audit(self.call.action, address, self.course_id, self.call.reason)
        )

    def place(self, results: list[dict[str, Any]], cohort: str, named: str) -> None:
        """Put all who are enrolled or allowed by now into a cohort; `named`: its spelling."""
        for result in results:
            after = result.get("after")
            if after and (after["enrollment"] or after["allowed"]):
                result["before"]["cohort"] = self._placed(result["identifier"], cohort, named)
                after["cohort"] = named

    def _placed(self, identifier: str, cohort: str, named: str) -> str | None:
        """Return the previous cohort of a learner, as the platform reports it."""
        user = self._find(identifier)
        if user is None:
            # Case "cohort, preassigned moved": that is not told.
            self._rows.preassign(identifier, cohort)
            return None
        before = self._rows.place(user, cohort)
        return named if before == cohort else before


_ERRORS = {
    "invalidIdentifier": ("invalid_identifier", "Invalid email address"),
    "error": (
        "general_error",
        "Something went wrong while processing this learner. Please try again or contact support.",
    ),
}


def _transition(call: BulkCall, before: State, after: State) -> str:
    """Return the state transition in the words of 2026, one of which is misleading."""
    was = "enrolled" if before["enrollment"] else "unenrolled"
    if before["allowed"] and not before["enrollment"]:
        was = "allowed to enroll"
    if call.action is Action.UNENROLL:
        # Of who was allowed, Open edX says "to enrolled", too (case "unenroll").
        return f"from {was} to {'enrolled' if was == 'allowed to enroll' else 'unenrolled'}"
    if after["enrollment"]:
        return f"from {was} to enrolled"
    if after["allowed"] and not before["user"]:
        return "from unenrolled to allowed to enroll"
    # Cases "inactive user", "retired address".
    return "N/A"
