"""Holds a report against the platform that it tells of."""

from collections import Counter
from collections.abc import Iterable

from async_enroll import Action, EnrollmentReport, Outcome
from async_enroll.sandbox import Platform


def address(identifier: str) -> str:
    """Where mail for an identifier goes: learners' addresses are made from their names."""
    return identifier if "@" in identifier else f"{identifier}@example.org"


def assert_account(
    report: EnrollmentReport,
    platform: Platform,
    pairs: Iterable[tuple[str, str]],
    action: Action = Action.ENROLL,
) -> None:
    """Every pair is reported once, as the platform has it, and nobody was mailed twice."""
    told = [(result.identifier, result.course_id) for result in report.results]
    assert Counter(told) == Counter(pairs)
    mails = Counter((mail.to.lower(), mail.course_id) for mail in platform.outbox)
    assert not [mail for mail, count in mails.items() if count > 1]
    for result in report.results:
        is_in = platform.is_enrolled(result.identifier, result.course_id)
        waits = platform.is_allowed(result.identifier, result.course_id)
        context = f"{result} but enrolled: {is_in}, allowed: {waits}"
        assert result.outcome is not Outcome.UNCONFIRMED, context
        if result.outcome.ok:
            assert (is_in or waits) == (action is Action.ENROLL), context
            assert waits == (result.outcome is Outcome.ALLOWED), context
        elif action is Action.ENROLL:
            assert not is_in, context
            assert not waits, context
        mailed = mails[address(result.identifier), result.course_id]
        assert result.notified is None or mailed == result.notified, f"{context}, mails: {mailed}"
        if result.before is not None:
            assert result.outcome.ok, context
