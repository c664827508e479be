"""The platform's bulk endpoint, one request each."""

from __future__ import annotations

from async_enroll.batching import NOBODY
from async_enroll.errors import TransportError, UnexpectedResponse
from async_enroll.models import Action, Batch, BatchLimits
from async_enroll.renewal import renewed
from async_enroll.sizing import FIRST, FIRST_WITH_MAIL, Sizing
from async_enroll.throttle import Throttle, Turn
from async_enroll.transport import Transport
from async_enroll.verdict import Failure, Meaning, Strain, classify
from async_enroll.wire import BulkAnswer, bulk_answer, bulk_body

BULK_ENROLL = "api/bulk_enroll/v1/bulk_enroll/"


class Api:
    """The bulk endpoint of one site, behind its throttle."""

    def __init__(self, transport: Transport, throttle: Throttle, limits: BatchLimits) -> None:
        self._transport = transport
        self._throttle = throttle
        self._sizing = {True: Sizing(limits, FIRST_WITH_MAIL), False: Sizing(limits, FIRST)}

    def sizing(self, *, email_students: bool) -> Sizing:
        """How many pairs a bulk call should carry."""
        return self._sizing[email_students]

    async def bulk_enroll(
        self,
        batch: Batch,
        turn: Turn,
        *,
        auto_enroll: bool,
        email_students: bool,
    ) -> BulkAnswer | Failure:
        """Send one bulk call in its turn.

        A THROTTLED call holds up all others; to send it again is left to the caller.
        """
        reply = await self._bulk_enroll(batch, turn, auto_enroll, email_students)
        self._learn(batch, turn, reply, mails=email_students)
        return reply

    async def _bulk_enroll(
        self, batch: Batch, turn: Turn, auto_enroll: bool, email_students: bool
    ) -> BulkAnswer | Failure:
        body = bulk_body(batch, auto_enroll=auto_enroll, email_students=email_students)
        url = self._transport.site / BULK_ENROLL
        try:
            answer = await self._transport.call("POST", url, body, fresh=True)
            if not answer.ok and await renewed(self._transport, answer):
                answer = await self._transport.call("POST", url, body, fresh=True)
        except TransportError as error:
            if not error.sent:
                turn.unsent()
            return self._held(classify(error))
        if not answer.ok:
            failure = classify(answer)
            if failure.meaning is Meaning.THROTTLED:
                turn.refused(failure.retry_after)
                return failure
            return self._held(failure)
        try:
            return bulk_answer(answer.body)
        except UnexpectedResponse as error:
            # It answered 200 in words that cannot be read: it may have done as asked.
            return Failure(Meaning.UNKNOWN, error, status=answer.status)

    def _learn(self, batch: Batch, turn: Turn, reply: BulkAnswer | Failure, *, mails: bool) -> None:
        """Learn from how the site has borne a call."""
        if batch.identifiers == (NOBODY,):  # no work for it
            if isinstance(reply, BulkAnswer):
                turn.borne(0)
            return
        sizing = self._sizing[mails]
        if isinstance(reply, BulkAnswer):
            sizing.answered(batch.pairs, turn.seconds)
            turn.borne(batch.pairs)
        elif reply.strain is Strain.SLOW:
            sizing.timed_out(batch.pairs, turn.seconds)
        elif reply.strain is Strain.BUSY:
            turn.busy()

    def _held(self, failure: Failure) -> Failure:
        """Hold all calls where the platform asks for it."""
        if failure.retry_after is not None:
            self._throttle.hold(failure.retry_after)
        return failure

    async def answers(self) -> bool:
        """Whether the platform answers at all, if only that there is no such course."""
        nothing = Batch(Action.ENROLL, ("preflight",), (NOBODY,))
        async with self._throttle.turn() as turn:
            reply = await self.bulk_enroll(nothing, turn, auto_enroll=False, email_students=False)
        no_answer = (Meaning.UNKNOWN, Meaning.UNDONE, Meaning.UNREACHABLE, Meaning.NO_TOKEN)
        return isinstance(reply, BulkAnswer) or reply.meaning not in no_answer
