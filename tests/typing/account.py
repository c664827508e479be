"""What a job leaves: results, reports, journals, exceptions."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, assert_never, assert_type

from async_enroll import (
    Action,
    AuthenticationError,
    CourseReport,
    EnrollError,
    Enrollment,
    EnrollmentFailures,
    EnrollmentReport,
    EnrollmentResult,
    EnrollmentState,
    JournalReport,
    Outcome,
    PlatformError,
    RosterEntry,
    RosterError,
    TransportError,
    UnexpectedResponse,
)


def result(of: EnrollmentResult) -> None:
    assert_type(of.action, Action)
    assert_type(of.outcome, Outcome)
    assert_type(of.outcome.ok, bool)
    assert_type(of.before, EnrollmentState | None)
    assert_type(of.error, str | None)
    assert_type(of.notified, bool | None)
    assert_type(of.attempts, int)
    print(of.before.enrollment)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    of.attempts = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def outcome(of: EnrollmentResult) -> str:
    match of.action:
        case Action.ENROLL:
            return "in"
        case Action.UNENROLL:
            return "out"
        case _:
            assert_never(of.action)


def enrollment(of: Enrollment) -> None:
    assert_type(of.created, datetime | None)
    assert_type(of.is_active, bool)


def report(of: EnrollmentReport) -> None:
    assert_type(of.courses, dict[str, CourseReport])
    assert_type(of.courses["course"].counts, Counter[Outcome])
    assert_type(of.results, tuple[EnrollmentResult, ...])
    assert_type(of.failures, tuple[EnrollmentResult, ...])
    assert_type(of.notification_unknown, tuple[RosterEntry, ...])
    assert_type(of.counts, Counter[Outcome])
    assert_type(of.counts[Outcome.ENROLLED], int)
    assert_type(of.ok, bool)
    assert_type(of.to_dict(), dict[str, Any])
    of.write_csv("outcome.csv")
    of.write_html("outcome.html", title="Outcome")
    of.courses = {}  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def journal() -> None:
    with JournalReport("job.db") as of:
        assert_type(of, JournalReport)
        assert_type(of.results(), Iterator[EnrollmentResult])
        assert_type(of.pending, int)
        summary, _ = of.account()
        assert_type(summary.counts, Counter[Outcome])


def exceptions(of: EnrollmentReport) -> None:
    try:
        of.raise_for_failures()
    except EnrollmentFailures as error:
        assert_type(error.report, EnrollmentReport)
    except RosterError as error:
        assert_type(error.problems, list[str])
        assert_type(error.count, int)
    except TransportError as error:
        assert_type(error.sent, bool)
    except PlatformError as error:
        assert_type(error.status, int)
    except UnexpectedResponse as error:
        assert_type(error.path, str)
    except (AuthenticationError, EnrollError) as error:
        assert_type(error.report, EnrollmentReport | None)
