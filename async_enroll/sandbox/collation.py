"""How the platform's database compares text: MySQL's collation."""

from __future__ import annotations

from unicodedata import category, normalize

WIDEST: int = 255
"""Characters that the columns of addresses take."""


def fold(text: str) -> str:
    """A key that is the same for texts the database holds equal.

    Case and accents do not count (cases "upper-case username", "unaccented name of it");
    spaces do.
    """
    if text.isascii():
        return text.lower()
    letters = [letter for letter in normalize("NFD", text) if category(letter) != "Mn"]
    return "".join(letters).casefold()
