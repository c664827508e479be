"""Answers that come compressed, unpacked without trusting how large they become. Pure."""

from __future__ import annotations

import zlib

LARGEST_PIECE = 1024 * 1024
"""Bytes that are unpacked at once, at most: a compressed byte can stand for a thousand."""

_GZIP = 31  # zlib.decompressobj: a window of 2^15 bytes, with the header and trailer of gzip


class Gunzip:
    """Unpacks gzip (RFC 1952) while it arrives, in pieces of bounded size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP)
        self._rest = b""
        self._fed = False
        self.has_more: bool = False
        """Whether there is more to `unpack` of what was fed already."""

    def unpack(self, data: bytes = b"") -> bytes:
        """Take the next bytes; give the next piece, which can be empty.

        Raises:
            ValueError: where this is no gzip.

        """
        data = self._rest + data
        if self._member.eof and data:  # RFC 1952, 2.2: members can follow each other
            self._member = zlib.decompressobj(wbits=_GZIP)
        self._fed = self._fed or bool(data)
        try:
            piece = self._member.decompress(data, LARGEST_PIECE)
        except zlib.error:
            raise ValueError("not gzip") from None
        self._rest = self._member.unconsumed_tail or self._member.unused_data
        self.has_more = bool(self._rest) or len(piece) == LARGEST_PIECE
        return piece

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, if no more bytes come."""
        return not self._fed or self._member.eof
