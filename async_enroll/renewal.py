"""A token that the platform refuses is renewed once, and the request sent again."""

from __future__ import annotations

from async_enroll.transport import Answer, Transport
from async_enroll.verdict import Meaning, classify


async def renewed(transport: Transport, answer: Answer) -> bool:
    """Whether a request was refused for its token, and there is a new one now."""
    unauthorized = classify(answer).meaning is Meaning.UNAUTHORIZED
    return unauthorized and await transport.renew(answer.credentials)
