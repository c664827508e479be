"""Numbers, times and other people's words, as a page shows them."""

from __future__ import annotations

from async_enroll.models import Outcome

# What people call an outcome, and what it means to them.
OUTCOMES = {
    Outcome.ENROLLED: ("Enrolled", "Was not enrolled, and is now."),
    Outcome.ALREADY_ENROLLED: ("Already enrolled", "Was enrolled before, and still is."),
    Outcome.ALLOWED: (
        "Waiting for registration or activation",
        "An address without an account, or an account that is not activated: it may be enrolled "
        "once somebody registers or activates it.",
    ),
    Outcome.UNENROLLED: ("Unenrolled", "Was enrolled, and is no longer."),
    Outcome.NOT_ENROLLED: ("Not enrolled before", "Was to be unenrolled, and was not enrolled."),
    Outcome.WITHDRAWN: ("Withdrawn", "Waited for registration or activation, and no longer does."),
    Outcome.INVALID_IDENTIFIER: (
        "Invalid identifier",
        "Neither a user nor a plausible address, or one that cannot be sent at all.",
    ),
    Outcome.ERROR: ("Failed", "The platform failed on this learner; its log says why."),
    Outcome.REJECTED: (
        "Rejected",
        "The platform refused, in the words given below; nothing was done.",
    ),
    Outcome.UNCONFIRMED: (
        "Unconfirmed",
        "Sent, and nothing tells what became of it: look at the platform.",
    ),
}

_LONGEST = 300


def visible(text: str) -> str:
    """`text` with everything written out that cannot be seen, or that moves other text about."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def brief(text: str) -> str:
    """`visible`, and cut where it is so long that it would drown the page."""
    return visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def share(part: int, whole: int) -> str:
    """A percentage that is 0 or 100 only where that is so."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    if percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """A length of time in at most two units, as in ``4 min 10 s``."""
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
