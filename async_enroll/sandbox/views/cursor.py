"""Pages by cursor, as in Django REST framework's `CursorPagination`."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qs, urlencode

from attrs import frozen

from async_enroll.sandbox.http.answers import Refusal


@frozen
class Cursor:
    """The start of a page: `offset` records after the first that is not newer than `position`."""

    position: datetime | None = None
    offset: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the cursor in a link. Raises Refusal (404)."""
        try:
            fields = parse_qs(b64decode(text.encode("ascii")).decode("ascii"))
            position = datetime.fromisoformat(fields["p"][0]) if "p" in fields else None
            offset = int(fields.get("o", ["0"])[0])
        except (ValueError, binascii.Error):
            raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Invalid cursor"}) from None
        return cls(position.replace(tzinfo=None) if position else None, max(offset, 0))

    @classmethod
    def after(cls, moments: Sequence[datetime], index: int) -> Self:
        """Return the cursor of the page that begins with the record at `index`."""
        position = moments[index - 1]
        # Counted from the first record of that moment, which the previous page may have had.
        return cls(position, index - _first(moments, position))

    def start(self, moments: Sequence[datetime]) -> int:
        """Return where the page begins among records of these moments, newest first."""
        first = 0 if self.position is None else _first(moments, self.position)
        return first + self.offset

    @property
    def text(self) -> str:
        """The cursor as it is in a link."""
        fields = {"o": str(self.offset)} if self.offset else {}
        if self.position is not None:
            fields["p"] = str(self.position.replace(tzinfo=UTC))
        return b64encode(urlencode(fields).encode("ascii")).decode("ascii")


def _first(moments: Sequence[datetime], position: datetime) -> int:
    return bisect_left(moments, datetime.max - position, key=lambda moment: datetime.max - moment)
