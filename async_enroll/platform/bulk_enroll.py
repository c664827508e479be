"""The platform's bulk endpoint, one request each."""

from __future__ import annotations

import anyio
from attrs import evolve

from async_enroll.errors import NoSuchEndpoint, TransportError, UnexpectedResponse
from async_enroll.http.failures import Failure, FailureKind, Overload, classify, masked
from async_enroll.http.renewal import renewed
from async_enroll.http.transport import Transport
from async_enroll.models import NOBODY, Action, Batch, BatchLimits
from async_enroll.pacing.batch_size import FIRST, FIRST_WITH_MAIL, BatchSize
from async_enroll.pacing.throttle import Permit, Throttle
from async_enroll.platform.json import BulkAnswer, bulk_answer, bulk_body

BULK_ENROLL = "api/bulk_enroll/v1/bulk_enroll/"
"""As MOOCit documents the path, and as Open edX routed it until 2020, beside the other form."""

BULK_ENROLL_FORMS = (BULK_ENROLL, BULK_ENROLL.removesuffix("/"))
"""Open edX since 2022 routes exactly the second one, and answers the first with a 404 page."""

_OF_THE_ENDPOINT = (FailureKind.REFUSED, FailureKind.MISSING)


class BulkEnrollApi:
    """The bulk endpoint of one site, behind its throttle.

    `path`: the form of its path that the site has; None until a harmless call has found out,
    which a call that carries learners never does.
    """

    def __init__(self, transport: Transport, throttle: Throttle, limits: BatchLimits) -> None:
        self.path: str | None = None
        self._transport = transport
        self._throttle = throttle
        self._batch_size = {
            True: BatchSize(limits, FIRST_WITH_MAIL),
            False: BatchSize(limits, FIRST),
        }
        self._finding = anyio.Lock()

    def batch_size(self, *, email_students: bool) -> BatchSize:
        """How many pairs a bulk call should carry."""
        return self._batch_size[email_students]

    async def bulk_enroll(
        self,
        batch: Batch,
        permit: Permit,
        *,
        auto_enroll: bool,
        email_students: bool,
        reason: str | None = None,
    ) -> BulkAnswer | Failure:
        """Send one bulk call in its turn.

        A THROTTLED call holds up all others; to send it again is left to the caller.
        """
        body = bulk_body(
            batch, auto_enroll=auto_enroll, email_students=email_students, reason=reason
        )
        harmless = batch.identifiers == (NOBODY,)
        reply = await self._find(body, permit) if harmless else await self._post(body, permit)
        if not harmless:
            self._learn(batch, permit, reply, mails=email_students)
        elif isinstance(reply, BulkAnswer):
            permit.completed(0)  # no work for the site
        return reply

    async def preflight(self, batch: Batch, permit: Permit) -> BulkAnswer | Failure:
        """Send a call without effect: it fails as any other where a course or cohort is bad.

        Since 2025 the platform looks a course up only where it is asked to mail; no mail leaves.
        """
        return await self.bulk_enroll(batch, permit, auto_enroll=False, email_students=True)

    async def answers(self) -> bool:
        """Whether the platform answers at all, if only that there is no such course."""
        nothing = Batch(Action.ENROLL, ("preflight",), (NOBODY,))
        async with self._throttle.permit() as permit:
            reply = await self.preflight(nothing, permit)
        return isinstance(reply, BulkAnswer) or reply.kind not in _NO_ANSWER

    async def _find(self, body: bytes, permit: Permit) -> BulkAnswer | Failure:
        """Send a harmless call; to the other form of the path where there is no such endpoint."""
        if self.path is not None:
            reply = await self._post(body, permit)
            if not _is_missing(reply):
                return reply
        async with self._finding:  # those that start together find out once
            for path in sorted(BULK_ENROLL_FORMS, key=lambda form: form != self.path):
                reply = await self._post(body, permit, path)
                if isinstance(reply, BulkAnswer) or reply.kind in _OF_THE_ENDPOINT:
                    self.path = path
                if not _is_missing(reply):
                    break
        return reply

    async def _post(
        self, body: bytes, permit: Permit, path: str | None = None
    ) -> BulkAnswer | Failure:
        url = self._transport.site / (path or self.path or BULK_ENROLL)
        try:
            answer = await self._transport.call("POST", url, body, fresh=True)
            if not answer.ok and await renewed(self._transport, answer):
                answer = await self._transport.call("POST", url, body, fresh=True)
        except TransportError as error:
            if not error.sent:
                permit.unsent()
            return self._held(classify(error))
        if not answer.ok:
            failure = classify(answer)
            if failure.kind is FailureKind.THROTTLED:
                permit.refused(failure.retry_after)
                return failure
            return self._held(self._unless_proven(failure))
        try:
            return bulk_answer(answer.body)
        except UnexpectedResponse as error:
            # It answered 200 in words that cannot be read: it may have done as asked.
            garbled = Failure(FailureKind.UNKNOWN, error, status=answer.status)
            return self._unless_proven(masked(answer) or garbled)

    def _unless_proven(self, failure: Failure) -> Failure:
        """A page in place of the endpoint stops a job, unless the endpoint has answered before."""
        in_front = failure.kind in (FailureKind.INTERCEPTED, FailureKind.MASKED)
        if self.path is None and (in_front or _is_missing(failure)):
            return evolve(failure, kind=FailureKind.FATAL)
        return failure

    def _learn(
        self, batch: Batch, permit: Permit, reply: BulkAnswer | Failure, *, mails: bool
    ) -> None:
        """Learn from how the site has borne a call."""
        batch_size = self._batch_size[mails]
        if isinstance(reply, BulkAnswer):
            batch_size.answered(batch.pairs, permit.seconds)
            permit.completed(batch.pairs)
        elif reply.overload is Overload.SLOW:
            if batch_size.has_handled(batch.pairs):
                permit.timed_out()
            batch_size.timed_out(batch.pairs, permit.seconds)
        elif reply.overload is Overload.BUSY:
            permit.busy()

    def _held(self, failure: Failure) -> Failure:
        """Hold all calls where the platform asks for it."""
        if failure.retry_after is not None:
            self._throttle.hold(failure.retry_after)
        return failure


_NO_ANSWER = (
    FailureKind.UNKNOWN,
    FailureKind.UNDONE,
    FailureKind.UNREACHABLE,
    FailureKind.NO_TOKEN,
    FailureKind.INTERCEPTED,
    FailureKind.MASKED,
)


def _is_missing(reply: BulkAnswer | Failure) -> bool:
    return isinstance(reply, Failure) and isinstance(reply.error, NoSuchEndpoint)
