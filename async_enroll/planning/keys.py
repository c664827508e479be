"""Syntax checks for course keys, e-mail addresses and usernames. Pure.

No platform accepts what is refused here. `roster.cells` and `planning.batching` call these checks.
Sources: Open edX's opaque-keys (`CourseLocator`, `LibraryLocator`, `CCXLocator` and the older form
with slashes), Django's `validate_email` and its `UnicodeUsernameValidator`.
"""

from __future__ import annotations

import ipaddress
import re
from unicodedata import normalize

_NAME = r"[\w\-~.:]+"
_QUALIFIERS = rf"(?:\+branch@{_NAME})?(?:\+version@[a-f0-9]{{24}})?"
_BLOCK = rf"(?:\+type@{_NAME})?(?:\+block@[\w\-~.:%]+)?"
_KEY = re.compile(
    rf"(?:course-v1|slashes):{_NAME}\+{_NAME}\+{_NAME}{_QUALIFIERS}{_BLOCK}"
    rf"|library-v1:{_NAME}\+{_NAME}(?:\+{_NAME})?{_QUALIFIERS}{_BLOCK}"
    rf"|ccx-v1:{_NAME}\+{_NAME}\+{_NAME}{_QUALIFIERS}\+ccx@\d+{_BLOCK}"
    r"|[\w.%-]+/[\w.%-]+/[\w.%-]+"
)
_LONGEST = 255
"""In characters; the platform's tables hold no longer course key or address."""

_ATOM = re.compile(r"[-!#$%&'*+/=?^`{}|~\w]+")
_QUOTED = re.compile(
    r'"([\x01-\x08\x0b\x0c\x0e-\x1f!#-\[\]-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*"'
)
_LABEL = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_TOP_LEVEL = re.compile(r"[^\W\d_](?:[^\W\d_]|-){0,61}[^\W\d_]|xn--[a-z0-9]{1,59}", re.IGNORECASE)
_LITERAL = re.compile(r"\[([a-fA-F0-9:.]+)\]")
_USERNAME = re.compile(r"[\w.+~-]{1,150}")


def is_course_key(text: str) -> bool:
    """Whether `text` is a well-formed key: ``course-v1:Org+Number+Run`` or ``Org/Number/Run``."""
    return len(text) <= _LONGEST and bool(_KEY.fullmatch(text))


def is_address(text: str) -> bool:
    """Whether a platform may accept `text` as an e-mail address.

    Letters beyond ASCII before the @ are accepted. Django's check refuses them, but a site's
    single sign-on may have created such an account.
    """
    local, at, domain = text.rpartition("@")
    if not at or len(text) > _LONGEST:
        return False
    if not all(map(_ATOM.fullmatch, local.split("."))) and not _QUOTED.fullmatch(local):
        return False
    if domain == "localhost":
        return True
    if literal := _LITERAL.fullmatch(domain):
        return _is_ip_address(literal[1])
    *labels, top_level = domain.split(".")
    return bool(labels and _TOP_LEVEL.fullmatch(top_level)) and all(map(_LABEL.fullmatch, labels))


def is_username(text: str) -> bool:
    """Whether a user may have this name."""
    return bool(_USERNAME.fullmatch(normalize("NFC", text)))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
