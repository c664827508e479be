"""Move learners in and out of courses on MOOCit and Open edX, asynchronously and accounted for."""

from async_enroll.errors import (
    AuthenticationError,
    ConfigurationError,
    EnrollError,
    EnrollmentFailures,
    PermissionDenied,
    PlatformError,
    RosterError,
    TransportError,
    UnexpectedResponse,
)
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

__all__ = [
    "Action",
    "AuthenticationError",
    "BatchLimits",
    "ConfigurationError",
    "EnrollError",
    "Enrollment",
    "EnrollmentFailures",
    "EnrollmentQuery",
    "EnrollmentResult",
    "EnrollmentState",
    "Outcome",
    "PermissionDenied",
    "PlatformError",
    "RequestWindow",
    "RosterEntry",
    "RosterError",
    "TransportError",
    "UnexpectedResponse",
]
