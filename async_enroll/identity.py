"""Who is meant: two spellings of one identifier have the same key. Pure."""

from __future__ import annotations

from unicodedata import normalize


def identity_key(identifier: str) -> str:
    """The key by which the platform compares identifiers: lower case, in normal form C.

    Never `casefold`: `straße` is not `strasse`.
    """
    return normalize("NFC", identifier.lower())
