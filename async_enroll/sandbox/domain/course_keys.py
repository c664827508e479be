"""Checks course keys by the rules of Open edX's `CourseKey.from_string`.

Of the keys that plug-ins add, those of custom courses (``ccx-v1:…``) are supported.
"""

from __future__ import annotations

import re

_ID = re.compile(r"[\w\-~.:]+")
_BLOCK_ID = re.compile(r"[\w\-~.:%]+")
_OBJECT_ID = re.compile(r"[a-f0-9]{24}")
_LEGACY_ID = re.compile(r"[\w.%-]+")

_QUALIFIERS = (
    ("branch", _ID),
    ("version", _OBJECT_ID),
    ("ccx", re.compile(r"\d+")),
    ("type", _ID),
    ("block", _BLOCK_ID),
)
"""Optional parts after the names, in this order."""

_NAMES = {"course-v1": 3, "slashes": 3, "library-v1": 2, "ccx-v1": 3}
"""The number of names in a key of each namespace; libraries were once courses."""


def is_course_key(text: str) -> bool:
    """Whether `text` is a well-formed key: ``course-v1:Org+Number+Run`` or ``Org/Number/Run``."""
    namespace, _, rest = text.partition(":")
    custom = any(part.startswith("ccx@") for part in rest.split("+"))
    if (
        namespace in _NAMES
        and custom is (namespace == "ccx-v1")
        and _is_locator(rest, needed=_NAMES[namespace])
    ):
        return True
    return _is_legacy_key(text)


def _is_locator(text: str, *, needed: int) -> bool:
    parts = text.split("+")
    names = [part for part in parts if "@" not in part]
    if not _are_qualifiers(parts[len(names) :]) or not all(map(_ID.fullmatch, names)):
        return False
    has_version = any(part.startswith("version@") for part in parts)
    return len(names) in {0, 2, 3} and (has_version or len(names) >= needed)


def _are_qualifiers(parts: list[str]) -> bool:
    remaining = iter(_QUALIFIERS)
    for part in parts:
        name, _, value = part.partition("@")
        pattern = next((pattern for known, pattern in remaining if known == name), None)
        if pattern is None or not pattern.fullmatch(value):
            return False
    return True


def _is_legacy_key(text: str) -> bool:
    parts = text.split("/")
    if len(parts) != 3:
        return False
    org, course, run = parts
    return all(map(_LEGACY_ID.fullmatch, (org, course, run or "run")))
