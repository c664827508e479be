"""Detects the encoding of a text file from all of its bytes, in constant memory."""

from __future__ import annotations

import codecs
from typing import IO

_PIECE = 1 << 20
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FALLBACK = "cp1252"
"""Most files that are not UTF-8 were written by older Windows programs."""


def encoding_of(file: IO[bytes]) -> str:
    """Return the encoding of a file, and leave the file at its beginning."""
    start = file.read(_PIECE)
    found = next((name for bom, name in _BOMS if start.startswith(bom)), None) or _utf16(start)
    if found is None:
        found = "utf-8" if _is_utf8(start, file) else FALLBACK
    file.seek(0)
    return found


def _utf16(start: bytes) -> str | None:
    """Detect UTF-16 without a byte order mark: in most scripts every other byte is zero."""
    some = start[:1000]
    if len(some) >= 4:
        if some[1::2].count(0) > len(some) // 4 and not some[::2].count(0):
            return "utf-16-le"
        if some[::2].count(0) > len(some) // 4 and not some[1::2].count(0):
            return "utf-16-be"
    return None


def _is_utf8(start: bytes, file: IO[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    piece = start
    try:
        while piece:
            decoder.decode(piece)
            piece = file.read(_PIECE)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
