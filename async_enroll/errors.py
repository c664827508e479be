"""Exceptions, for what stops a whole job. A pair that fails is a result, not an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_enroll.reports.report import EnrollmentReport


_SHOWN = 100


class EnrollError(Exception):
    """Base class of all exceptions of async_enroll.

    `report`: the results of the job up to when it stopped; None if no job was running.
    """

    report: EnrollmentReport | None = None


class ConfigurationError(EnrollError):
    """An argument or setting is not usable: a bad URL, an empty token, a limit below 1."""


class RosterError(EnrollError):
    """A roster is not usable as it is. Nothing was sent.

    `source`: the name of the roster. `problems`: one sentence for each problem to fix. `count`:
    the number of problems, larger than `len(problems)` if there are too many to keep.
    """

    def __init__(self, source: str, problems: list[str], count: int | None = None) -> None:
        self.source = source
        self.problems = problems
        self.count: int = len(problems) if count is None else count
        super().__init__(source, problems, count)

    def __str__(self) -> str:
        """The source, the number of problems, and the first hundred of them."""
        count = self.count
        lines = [f"{self.source}: {count:,} problem{'s' if count != 1 else ''}; nothing was sent"]
        lines += [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  … and {count - _SHOWN:,} more")
        return "\n".join(lines)


class SyncRefused(EnrollError):
    """A sync would remove more than it may. Nothing was sent, no additions either.

    `problems`: one sentence for each course, with both counts and the option to pass.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        """All problems, or how many there are and the first hundred."""
        lines = [f"sync refused, nothing was sent: {self.problems[0]}"]
        if (count := len(self.problems)) > 1:
            shown = self.problems[:_SHOWN]
            lines = [f"sync refused, nothing was sent: {count:,} problems"]
            lines += [f"  {problem}" for problem in shown]
            lines += [f"  … and {count - _SHOWN:,} more"] if count > _SHOWN else []
        return "\n".join(lines)


class TransportError(EnrollError):
    """No complete HTTP answer: unreachable host, TLS error, time-out, connection reset.

    `sent`: False if the request cannot have reached the platform. `timed_out`: True if it may
    have, and no answer came in time.
    """

    def __init__(self, message: str, *, sent: bool, timed_out: bool = False) -> None:
        self.sent = sent
        self.timed_out = timed_out
        super().__init__(message)


class NoToken(TransportError):
    """The site answers, but issues no token for now, so nothing was sent.

    `retry_after`: seconds to wait, None if the site named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message, sent=False)


class AuthenticationError(EnrollError):
    """The platform does not accept the token (401), or the client id and secret."""


class PermissionDenied(EnrollError):
    """The platform accepts the token, but its user may not do this (403)."""


class PlatformError(EnrollError):
    """The platform answered with an error; `status` is the HTTP status code."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class NoSuchEndpoint(PlatformError):
    """The site has no such endpoint (404): the call reached no view of the platform."""


class UnexpectedResponse(EnrollError):
    """An answer does not conform to the platform's reference.

    `path`: where in the answer, as ``courses['course-v1:…'].results[3].before.user``; may be
    empty.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)


class JournalError(EnrollError):
    """The journal cannot be read, or cannot be written, as on a full disk.

    The job sends nothing more.
    """


class JobStopped(EnrollError):
    """The job stopped on request, after the calls in flight had finished."""


class EnrollmentFailures(EnrollError):
    """Some pairs failed. Raised only by `EnrollmentReport.raise_for_failures`."""

    report: EnrollmentReport

    def __init__(self, report: EnrollmentReport, message: str) -> None:
        self.report = report
        super().__init__(message)
