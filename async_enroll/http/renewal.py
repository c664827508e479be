"""Token renewal after a 401. Callers in `platform` then send the request again."""

from __future__ import annotations

from async_enroll.http.answer import Answer
from async_enroll.http.failures import FailureKind, classify
from async_enroll.http.transport import Transport


async def renewed(transport: Transport, answer: Answer) -> bool:
    """Renew the token if `answer` refused it; return whether there is a new one."""
    unauthorized = classify(answer).kind is FailureKind.UNAUTHORIZED
    return unauthorized and await transport.renew(answer.credentials)
