"""The bulk enrollment endpoint: sends one call, finds its path, renews an expired token.

Takes a `Batch` and a `Permit` from `delivery`; returns a `BulkAnswer` or a classified `Failure`,
which `delivery.delivery` turns into results. Reports timings to the batch size and the throttle.
"""

from __future__ import annotations

import anyio
from attrs import evolve

from async_enroll.errors import NoSuchEndpoint, TransportError, UnexpectedResponse
from async_enroll.http.failures import Failure, FailureKind, Overload, classify, masked
from async_enroll.http.renewal import renewed
from async_enroll.http.transport import Transport
from async_enroll.models import NOBODY, Action, Batch, BatchLimits, identity_key
from async_enroll.pacing.batch_size import FIRST, FIRST_WITH_MAIL, BatchSize
from async_enroll.pacing.throttle import Permit, Throttle
from async_enroll.platform.json import AlikeAnswer, BulkAnswer, bulk_answer, bulk_body

BULK_ENROLL = "api/bulk_enroll/v1/bulk_enroll/"
"""The path as MOOCit documents it. Until 2020 Open edX routed this form and the other."""

BULK_ENROLL_FORMS = (BULK_ENROLL, BULK_ENROLL.removesuffix("/"))
"""Since 2022 Open edX routes only the second form and answers the first with a 404 page."""

_REQUEST_TIMEOUT = 408
_OF_THE_ENDPOINT = (FailureKind.REFUSED, FailureKind.MISSING)


class BulkEnrollApi:
    """Client of the bulk endpoint of one site.

    `path` is the form of the path that the site routes; None until a preflight call has found
    it. A call that carries learners never searches for the path.
    """

    def __init__(self, transport: Transport, throttle: Throttle, limits: BatchLimits) -> None:
        self.path: str | None = None
        self._transport = transport
        self._urls = {form: transport.site / form for form in BULK_ENROLL_FORMS}
        self._throttle = throttle
        self._batch_size = {
            True: BatchSize(limits, FIRST_WITH_MAIL),
            False: BatchSize(limits, FIRST),
        }
        self._finding = anyio.Lock()
        self._keeps_connections = True

    def batch_size(self, *, email_students: bool) -> BatchSize:
        """The adaptive size of bulk calls, in pairs: separate with and without mail."""
        return self._batch_size[email_students]

    async def bulk_enroll(
        self,
        batch: Batch,
        permit: Permit,
        *,
        auto_enroll: bool,
        email_students: bool,
        reason: str | None = None,
        fresh: bool = True,
    ) -> BulkAnswer | Failure:
        """Send one bulk call with learners, under a permit of the throttle.

        A THROTTLED answer holds all calls of the client; the caller decides whether to resend.

        `fresh`: whether to open a new connection. A site may close a kept one just as the call is
        sent, and then its outcome is unknown. Once a call on a kept one is lost, all open new ones.
        """
        body = bulk_body(
            batch, auto_enroll=auto_enroll, email_students=email_students, reason=reason
        )
        fresh = fresh or not self._keeps_connections
        reply = await self._post(body, permit, batch=batch, fresh=fresh)
        self._learn(batch, permit, reply, mails=email_students)
        return reply

    async def preflight(self, batch: Batch, permit: Permit) -> BulkAnswer | Failure:
        """Send a call without effect, which fails like any other if a course or cohort is bad.

        Since 2025 the platform looks up courses only in calls that ask for mail, so this one
        asks for it. No mail is sent: its identifier is no plausible address.
        """
        reply = await self._find(bulk_body(batch, auto_enroll=False, email_students=True), permit)
        if isinstance(reply, BulkAnswer):
            permit.completed(0)  # it causes the site no work
        return reply

    async def answers(self) -> bool:
        """Whether the platform answers a probe at all, if only with an error about the course."""
        nothing = Batch(Action.ENROLL, ("preflight",), (NOBODY,))
        with await self._throttle.permit() as permit:
            reply = await self.preflight(nothing, permit)
        return isinstance(reply, BulkAnswer) or reply.kind not in _NO_ANSWER

    async def _find(self, body: bytes, permit: Permit) -> BulkAnswer | Failure:
        """Send a preflight call; if the endpoint is missing, try the other form of the path."""
        if self.path is not None:
            reply = await self._post(body, permit)
            if not _is_missing(reply):
                return reply
        async with self._finding:  # concurrent calls search once
            for path in sorted(BULK_ENROLL_FORMS, key=lambda form: form != self.path):
                reply = await self._post(body, permit, path)
                if isinstance(reply, BulkAnswer) or reply.kind in _OF_THE_ENDPOINT:
                    self.path = path
                if not _is_missing(reply):
                    break
        return reply

    async def _post(
        self,
        body: bytes,
        permit: Permit,
        path: str | None = None,
        *,
        batch: Batch | None = None,
        fresh: bool = True,
    ) -> BulkAnswer | Failure:
        url = self._urls[path or self.path or BULK_ENROLL]
        try:
            answer = await self._transport.call("POST", url, body, fresh=fresh)
            if not answer.ok and await renewed(self._transport, answer):
                answer = await self._transport.call("POST", url, body, fresh=fresh)
        except TransportError as error:
            if not error.sent:
                permit.unsent()
            elif not fresh:
                self._keeps_connections = False
            return self._held(classify(error))
        if not answer.ok:
            failure = classify(answer)
            if failure.kind is FailureKind.THROTTLED:
                permit.refused(failure.retry_after)
                return failure
            if not fresh and answer.status == _REQUEST_TIMEOUT:
                # Some servers tell this an idle client, and the call was sent meanwhile.
                self._keeps_connections = False
                failure = evolve(failure, kind=FailureKind.UNKNOWN)
            return self._held(self._unless_proven(failure))
        try:
            reply = bulk_answer(answer.body, batch.identifiers if batch else ())
            if batch and not fresh and _is_of_others(reply, batch):
                self._keeps_connections = False
                raise UnexpectedResponse("expected the answer to this call, found that to another")
        except UnexpectedResponse as error:
            # The platform may have processed the call.
            garbled = Failure(FailureKind.UNKNOWN, error, status=answer.status)
            return self._unless_proven(masked(answer) or garbled)
        return reply

    def _unless_proven(self, failure: Failure) -> Failure:
        """A page in place of the endpoint is FATAL, unless the endpoint has answered before."""
        in_front = failure.kind in (FailureKind.INTERCEPTED, FailureKind.MASKED)
        if self.path is None and (in_front or _is_missing(failure)):
            return evolve(failure, kind=FailureKind.FATAL)
        return failure

    def _learn(
        self, batch: Batch, permit: Permit, reply: BulkAnswer | Failure, *, mails: bool
    ) -> None:
        """Adapt batch size and concurrency to how the site handled a call."""
        batch_size, pairs = self._batch_size[mails], batch.pairs
        if isinstance(reply, BulkAnswer):
            batch_size.answered(pairs, permit.completed(pairs))
        elif reply.overload is Overload.SLOW:
            if batch_size.has_handled(pairs):
                permit.timed_out()
            batch_size.timed_out(pairs, permit.seconds)
        elif reply.overload is Overload.BUSY:
            permit.busy()

    def _held(self, failure: Failure) -> Failure:
        """Hold all calls if the platform asked for a delay."""
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


def _is_of_others(answer: BulkAnswer, batch: Batch) -> bool:
    """Whether an answer names pairs, and none of this batch."""
    for key in batch.courses:  # mostly, the first result is that of the first pair
        some = answer.courses.get(key)
        if some and some.results and some.results[0].identifier in batch.identifiers:
            return False
    courses = set(map(identity_key, batch.courses))
    learners = set(map(identity_key, batch.identifiers))
    for course_id, course in answer.courses.items():
        if identity_key(course_id) not in courses:
            continue
        if isinstance(course, AlikeAnswer):  # it names them all
            return False
        if any(identity_key(pair.identifier) in learners for pair in course.results):
            return False
    return any(course.results for course in answer.courses.values())


def _is_missing(reply: BulkAnswer | Failure) -> bool:
    return isinstance(reply, Failure) and isinstance(reply.error, NoSuchEndpoint)
