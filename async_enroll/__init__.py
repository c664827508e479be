"""Enroll and unenroll learners on MOOCit and Open edX, asynchronously; every pair is reported."""

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
    from async_enroll.jobs.undo import UndoPlan
    from async_enroll.jobs.verify import Verified
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
    from async_enroll.planning.inverse import LeftAlone
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
    "LeftAlone",
    "Outcome",
    "PermissionDenied",
    "Plan",
    "PlatformError",
    "RequestWindow",
    "Roster",
    "RosterEntry",
    "RosterError",
    "TransportError",
    "UndoPlan",
    "UnexpectedResponse",
    "Verified",
]

# Names are imported on first access: a program loads only what it uses, and pytest, which loads
# our plugin in every run, loads almost nothing.
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
    "jobs.undo": ["UndoPlan"],
    "jobs.verify": ["Verified"],
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
    "planning.inverse": ["LeftAlone"],
    "planning.plan": ["Plan"],
    "reports.report": ["CourseReport", "EnrollmentReport"],
    "roster": ["Roster"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


# Without this, Python prints our warnings on stderr where the application configures no logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())
