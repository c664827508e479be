"""How the platform's database compares text: MySQL's collation."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, normalize

WIDEST: int = 255
"""The length, in characters, of columns of addresses."""


@lru_cache(maxsize=2**16)
def fold(text: str) -> str:
    """Return a key that is equal for texts that the database considers equal.

    Case and accents are ignored (cases "upper-case username", "unaccented name of it"); spaces are
    not. Cached, because every learner is looked up several times a call.
    """
    if text.isascii():
        return text.lower()
    letters = [letter for letter in normalize("NFD", text) if category(letter) != "Mn"]
    return "".join(letters).lower()
