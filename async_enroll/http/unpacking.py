"""Decompression of gzip answers with bounded memory, whatever their size. Pure.

Takes bytes from `http.transport`, and returns them decompressed.
"""

from __future__ import annotations

import zlib

LARGEST_PIECE = 64 * 1024
"""Most bytes decompressed at once: one compressed byte can expand to a thousand.

A piece of a listing then makes fewer than 700 records, which are used and freed before Python
looks for garbage.
"""

_GZIP = 31  # zlib.decompressobj: a window of 2^15 bytes, with the header and trailer of gzip


class Gunzip:
    """Incremental gzip decompressor (RFC 1952) that returns pieces of bounded size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP)
        self._pending = b""
        self._fed = False
        self.has_more: bool = False
        """Whether `unpack` can return more without further input."""

    def unpack(self, data: bytes = b"") -> bytes:
        """Feed the next bytes; return the next piece, which can be empty.

        Raises:
            ValueError: if the data is not gzip.

        """
        data = self._pending + data
        if self._member.eof and data:  # RFC 1952, 2.2: members can follow each other
            self._member = zlib.decompressobj(wbits=_GZIP)
        self._fed = self._fed or bool(data)
        try:
            piece = self._member.decompress(data, LARGEST_PIECE)
        except zlib.error:
            raise ValueError("not gzip") from None
        self._pending = self._member.unconsumed_tail or self._member.unused_data
        self.has_more = bool(self._pending) or len(piece) == LARGEST_PIECE
        return piece

    @property
    def is_whole(self) -> bool:
        """Whether the data is complete if no more bytes come."""
        return not self._fed or self._member.eof
