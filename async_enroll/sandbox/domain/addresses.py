"""Checks e-mail addresses by the rules of Django's `validate_email`."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_LONGEST = 320
_LETTERS = "a-z\u00a1-\uffff"

_ATOM = re.compile(r"[-!#$%&'*+/=?^_`{}|~0-9A-Z]+", re.IGNORECASE)
_QUOTED = re.compile(
    r'"([\x01-\x08\x0b\x0c\x0e-\x1f!#-\[\]-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*"', re.IGNORECASE
)
_LABEL = re.compile(f"[{_LETTERS}0-9](?:[{_LETTERS}0-9-]{{0,61}}[{_LETTERS}0-9])?", re.IGNORECASE)
_TOP_LEVEL = re.compile(
    f"[{_LETTERS}](?:[{_LETTERS}-]{{0,61}}[{_LETTERS}])|xn--[a-z0-9]{{1,59}}", re.IGNORECASE
)
_LITERAL = re.compile(r"\[([A-F0-9:.]+)\]", re.IGNORECASE)


@lru_cache(maxsize=2**16)
def is_plausible_address(text: str) -> bool:
    """Whether the platform accepts `text` as an e-mail address, existing or not."""
    local, at, domain = text.rpartition("@")
    return bool(at) and len(text) <= _LONGEST and _is_local(local) and _is_domain(domain)


def _is_local(text: str) -> bool:
    return all(map(_ATOM.fullmatch, text.split("."))) or bool(_QUOTED.fullmatch(text))


def _is_domain(text: str) -> bool:
    if text == "localhost":
        return True
    if literal := _LITERAL.fullmatch(text):
        return _is_ip_address(literal[1])
    *labels, top_level = text.split(".")
    return bool(labels and _TOP_LEVEL.fullmatch(top_level)) and all(map(_LABEL.fullmatch, labels))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
