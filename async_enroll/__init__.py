"""Move learners in and out of courses on MOOCit and Open edX, asynchronously and accounted for."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_enroll.client import EnrollmentClient
    from async_enroll.errors import (
        AuthenticationError,
        ConfigurationError,
        EnrollError,
        EnrollmentFailures,
        JobStopped,
        JournalError,
        PermissionDenied,
        PlatformError,
        RosterError,
        TransportError,
        UnexpectedResponse,
    )
    from async_enroll.http.client_credentials import ClientCredentials
    from async_enroll.http.tokens import Auth, BearerToken
    from async_enroll.journal import JournalReport
    from async_enroll.models import (
        Action,
        BatchLimits,
        Enrollment,
        EnrollmentQuery,
        EnrollmentResult,
        EnrollmentState,
        Outcome,
        RequestWindow,
        RosterEntry,
    )
    from async_enroll.planning.plan import Plan
    from async_enroll.reports.report import CourseReport, EnrollmentReport
    from async_enroll.roster import Roster

__all__ = [
    "Action",
    "Auth",
    "AuthenticationError",
    "BatchLimits",
    "BearerToken",
    "ClientCredentials",
    "ConfigurationError",
    "CourseReport",
    "EnrollError",
    "Enrollment",
    "EnrollmentClient",
    "EnrollmentFailures",
    "EnrollmentQuery",
    "EnrollmentReport",
    "EnrollmentResult",
    "EnrollmentState",
    "JobStopped",
    "JournalError",
    "JournalReport",
    "Outcome",
    "PermissionDenied",
    "Plan",
    "PlatformError",
    "RequestWindow",
    "Roster",
    "RosterEntry",
    "RosterError",
    "TransportError",
    "UnexpectedResponse",
]

# A name is imported when it is first asked for: a program loads what it uses, and a run of
# pytest, which loads our plugin whatever it tests, next to nothing.
_NAMES = {
    "http.tokens": ["Auth", "BearerToken"],
    "client": ["EnrollmentClient"],
    "http.client_credentials": ["ClientCredentials"],
    "errors": [
        "AuthenticationError",
        "ConfigurationError",
        "EnrollError",
        "EnrollmentFailures",
        "JobStopped",
        "JournalError",
        "PermissionDenied",
        "PlatformError",
        "RosterError",
        "TransportError",
        "UnexpectedResponse",
    ],
    "journal": ["JournalReport"],
    "models": [
        "Action",
        "BatchLimits",
        "Enrollment",
        "EnrollmentQuery",
        "EnrollmentResult",
        "EnrollmentState",
        "Outcome",
        "RequestWindow",
        "RosterEntry",
    ],
    "planning.plan": ["Plan"],
    "reports.report": ["CourseReport", "EnrollmentReport"],
    "roster": ["Roster"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would take every name to be here

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


# Where nobody listens, nothing is printed.
logging.getLogger(__name__).addHandler(logging.NullHandler())
