"""An HTTP answer, read whole."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

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
