"""An HTTP answer, read whole."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from attrs import frozen

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON, or nested beyond all measure."""

_OK = 200


@frozen
class Answer:
    """An HTTP answer, read whole; `credentials` counts the renewals of the token before it.

    `host`: of the request's URL, None where that does not matter.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    credentials: int = 0
    host: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was answered, and not just replied to."""
        return self.status == _OK
