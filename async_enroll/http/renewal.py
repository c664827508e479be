"""A token that the platform refuses is renewed once, and the request sent again."""

from __future__ import annotations

from async_enroll.http.answer import Answer
from async_enroll.http.failures import FailureKind, classify
from async_enroll.http.transport import Transport


async def renewed(transport: Transport, answer: Answer) -> bool:
    """Whether a request was refused for its token, and there is a new one now."""
    unauthorized = classify(answer).kind is FailureKind.UNAUTHORIZED
    return unauthorized and await transport.renew(answer.credentials)
