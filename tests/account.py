"""Holds a report against the platform that it tells of."""

from collections import Counter
from collections.abc import Collection, Iterable

from async_enroll import Action, EnrollmentReport, Outcome
from async_enroll.sandbox import Platform


def address(identifier: str) -> str:
    """Where mail for an identifier goes: learners' addresses are made from their names."""
    return identifier if "@" in identifier else f"{identifier}@example.org"


def assert_mailed_if_changed(
    report: EnrollmentReport, platform: Platform, were_in: Collection[tuple[str, str]]
) -> None:
    """Of a job that mails those for whom it changes something: they alone were mailed, once.

    `were_in` has the pairs that were enrolled or waiting before. Whoever lacks a mail, or may
    lack it, is told of.
    """
    mails = Counter((mail.to.lower(), mail.course_id) for mail in platform.outbox)
    missing = {(entry.identifier, entry.course_id) for entry in report.notification_unknown}
    for result in report:
        pair = result.identifier, result.course_id
        mailed = mails[address(result.identifier), result.course_id]
        assert mailed <= (pair not in were_in), result
        assert result.notified is not True or mailed, result
        if result.outcome.ok and pair not in were_in and not mailed:
            assert pair in missing, result
        if result.before is not None and (result.before.enrollment or result.before.allowed):
            assert pair not in missing, result


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
        context = (result, {"enrolled": is_in, "allowed": waits})  # in words only if needed
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
