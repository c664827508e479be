"""An embedded MOOCit / Open edX platform: for demos, tests and benchmarks.

It speaks HTTP on a loopback socket and keeps its state in memory::

    async with Platform() as platform:
        platform.add_course("course-v1:Demo+C001+2026")
        platform.add_user("jane", "jane@example.org")
        ...  # point a client at platform.url with platform.token
        assert platform.is_enrolled("jane", "course-v1:Demo+C001+2026")

It shares no code with the client but the vocabulary, so that each checks the other.
"""

from async_enroll.sandbox.access_log import Request
from async_enroll.sandbox.course import Allowed, Audit, Placement
from async_enroll.sandbox.faults import Fault, Faults
from async_enroll.sandbox.limit_req import LimitReq
from async_enroll.sandbox.listing import ListingForm
from async_enroll.sandbox.mail import Mail
from async_enroll.sandbox.platform import Platform
from async_enroll.sandbox.population import Population
from async_enroll.sandbox.release import RELEASES, Release

__all__ = [
    "RELEASES",
    "Allowed",
    "Audit",
    "Fault",
    "Faults",
    "LimitReq",
    "ListingForm",
    "Mail",
    "Placement",
    "Platform",
    "Population",
    "Release",
    "Request",
]
