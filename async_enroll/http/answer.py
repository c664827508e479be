"""The HTTP answer that `http.transport` returns and `http.failures` classifies."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

NOT_JSON: tuple[type[Exception], ...] = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON, or nested beyond all measure."""

_OK = 200


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read to its end.

    `body`: bytes, decompressed. `credentials`: how often the token had been renewed when the
    request was sent. `host`: the host of the request's URL, None if it does not matter.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    credentials: int = 0
    host: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == _OK
