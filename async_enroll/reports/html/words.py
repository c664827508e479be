"""Formatting for the report page: untrusted text, percentages, durations."""

from __future__ import annotations

_LONGEST = 300


def visible(text: str) -> str:
    """`text` with invisible and direction-changing characters as backslash escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def brief(text: str) -> str:
    """`visible`, truncated to 300 characters."""
    return visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def share(part: int, whole: int) -> str:
    """A percentage. It is never rounded to 0 or 100."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    if percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """A duration in at most two units, as in ``4 min 10 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    left = round(seconds)
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if left >= size:
            count, rest = divmod(round(left / part), size // part)
            return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"
    return f"{left} s"
