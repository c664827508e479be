"""How the platform's database compares text: MySQL's collation."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, normalize

WIDEST: int = 255
"""Characters that the columns of addresses take."""


@lru_cache(maxsize=2**16)
def fold(text: str) -> str:
    """A key that is the same for texts the database holds equal.

    Case and accents do not count (cases "upper-case username", "unaccented name of it");
    spaces do. Remembered, since every learner is looked up several times a call.
    """
    if text.isascii():
        return text.lower()
    letters = [letter for letter in normalize("NFD", text) if category(letter) != "Mn"]
    return "".join(letters).lower()
