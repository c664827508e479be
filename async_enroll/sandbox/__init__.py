"""An embedded MOOCit and Open edX platform for demos, tests and benchmarks.

It serves HTTP on a loopback socket and keeps its state in memory::

    async with Platform() as platform:
        platform.add_course("course-v1:Demo+C001+2026")
        platform.add_user("jane", "jane@example.org")
        ...  # point a client at platform.url with platform.token
        assert platform.is_enrolled("jane", "course-v1:Demo+C001+2026")

It shares only the vocabulary with the client, so that each checks the other. Its behavior follows
MOOCit's published reference and, release by release, Open edX's own code of four dates. "Case" in a
docstring names a request of the transcripts that ``tests/sandbox`` replays.

A request passes `http` (proxy, workers, tokens, throttle). One of the `views` reads and answers it,
and the `domain` carries it out on `storage`. `faults` intervene between them.
"""

from async_enroll.sandbox.domain.mail import Mail
from async_enroll.sandbox.domain.population import Population
from async_enroll.sandbox.domain.release import RELEASES, Release
from async_enroll.sandbox.fault_plan import Fault, Faults
from async_enroll.sandbox.http.access_log import Request
from async_enroll.sandbox.platform import Platform
from async_enroll.sandbox.proxy.limit_req import LimitReq
from async_enroll.sandbox.storage.rows import Allowed, Audit, Placement
from async_enroll.sandbox.views.listing import ListingForm

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
