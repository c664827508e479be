"""Move learners in and out of courses on MOOCit and Open edX, asynchronously and accounted for."""

import logging

from async_enroll.auth import Auth, BearerToken
from async_enroll.client import EnrollmentClient
from async_enroll.client_credentials import ClientCredentials
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
from async_enroll.plan import Plan
from async_enroll.report import CourseReport, EnrollmentReport
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

# Where nobody listens, nothing is printed.
logging.getLogger(__name__).addHandler(logging.NullHandler())
