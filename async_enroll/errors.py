"""What stops a whole job. A pair that fails is a result, not an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_enroll.reports.report import EnrollmentReport


class EnrollError(Exception):
    """Anything async_enroll raises on purpose.

    `report` holds what had become of the pairs when a job was stopped; None where no
    job was under way.
    """

    report: EnrollmentReport | None = None


class ConfigurationError(EnrollError):
    """Arguments or settings that cannot work: a bad URL, an empty token, a limit below 1."""


class RosterError(EnrollError):
    """A roster that cannot be used as it is. Nothing was sent.

    `problems` has one sentence for each thing to mend; `count` is their number, which is
    larger where there are too many to keep.
    """

    def __init__(self, source: str, problems: list[str], count: int | None = None) -> None:
        self.source = source
        self.problems = problems
        self.count: int = len(problems) if count is None else count
        super().__init__(source, problems, count)

    def __str__(self) -> str:
        """The source, how much is wrong with it, and the first hundred problems."""
        count = self.count
        lines = [f"{self.source}: {count:,} problem{'s' if count != 1 else ''}; nothing was sent"]
        lines += [f"  {problem}" for problem in self.problems[:100]]
        if count > 100:
            lines.append(f"  … and {count - 100:,} more")
        return "\n".join(lines)


class TransportError(EnrollError):
    """No HTTP answer, or one cut short: unreachable host, TLS, time-out, reset.

    `sent` is False where the request cannot have reached the platform; `timed_out` is True
    where it may have, and no answer came in time.
    """

    def __init__(self, message: str, *, sent: bool, timed_out: bool = False) -> None:
        self.sent = sent
        self.timed_out = timed_out
        super().__init__(message)


class NoToken(TransportError):
    """The site answers, but gives out no token for now, and so nothing was sent.

    `retry_after`: seconds to wait, None where the site named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message, sent=False)


class AuthenticationError(EnrollError):
    """The platform does not accept the token (401), or the client id and secret for one."""


class PermissionDenied(EnrollError):
    """The platform accepts the token, but not for this (403)."""


class PlatformError(EnrollError):
    """The platform answered with an error. `status` is the HTTP status code."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class NoSuchEndpoint(PlatformError):
    """The site has no such endpoint at all: not the application has answered, but its server."""


class UnexpectedResponse(EnrollError):
    """An answer that is not what the platform's reference promises.

    `path` names the place, as in ``courses['course-v1:…'].results[3].before.user``.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)


class JournalError(EnrollError):
    """The journal cannot be written, as on a full disk, or not be read.

    A job stops before it sends more.
    """


class JobStopped(EnrollError):
    """The job was asked to stop, and has finished what was in flight."""


class EnrollmentFailures(EnrollError):
    """Some pairs are not as they were asked to be; raised by `raise_for_failures` only."""

    report: EnrollmentReport

    def __init__(self, report: EnrollmentReport, message: str) -> None:
        self.report = report
        super().__init__(message)
