"""Outcomes in words, for everything that people read. Files for machines have `Outcome.value`."""

from __future__ import annotations

from async_enroll.models import EnrollmentResult, Outcome
from async_enroll.results import NO_SUCH_LEARNER

OUTCOMES = {
    Outcome.ENROLLED: ("enrolled", "Was not enrolled before, and is enrolled now."),
    Outcome.ALREADY_ENROLLED: ("already enrolled", "Was enrolled before. Nothing has changed."),
    Outcome.ALLOWED: (
        "waiting for registration or activation",
        "No account has this e-mail address, or the account is not activated. The learner can be "
        "enrolled after registration or activation.",
    ),
    Outcome.UNENROLLED: ("unenrolled", "Was enrolled before, and is not enrolled now."),
    Outcome.NOT_ENROLLED: ("was not enrolled", "Was to be unenrolled, but was not enrolled."),
    Outcome.WITHDRAWN: (
        "no longer waiting",
        "Was waiting for registration or activation, and is no longer.",
    ),
    Outcome.INVALID_IDENTIFIER: (
        "not a valid address or user",
        "Neither a username nor a valid e-mail address, or not possible to send.",
    ),
    Outcome.ERROR: (
        "failed on the platform",
        "The platform failed on this learner. Its log has the reason.",
    ),
    Outcome.REJECTED: (
        "not done",
        "Not sent, or refused by the platform, for the reason given below. Nothing was changed.",
    ),
    Outcome.UNCONFIRMED: (
        "outcome unknown",
        "Sent, but the result is unknown. Check on the platform.",
    ),
}
"""The name of each outcome, and a sentence that explains it."""


def name_of(outcome: Outcome) -> str:
    """The name of an outcome, in lower case."""
    return OUTCOMES[outcome][0]


def title_of(outcome: Outcome) -> str:
    """The name of an outcome, with a capital letter."""
    name = name_of(outcome)
    return name[0].upper() + name[1:]


def why(outcome: Outcome, error: str | None) -> str:
    """An outcome and its error in words."""
    if not error or error == NO_SUCH_LEARNER:  # the name says it
        return name_of(outcome)
    return f"{name_of(outcome)}: {error}"


def line_of(result: EnrollmentResult, error: str | None = None) -> str:
    """A result in one line: learner, course, outcome and error, by default its own."""
    words = why(result.outcome, error or result.error)
    return f"{result.identifier} in {result.course_id}: {words}"
