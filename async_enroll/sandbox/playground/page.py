"""Renders the page."""

from __future__ import annotations

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files

from aiohttp import web
from attrs import field, frozen
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from async_enroll.models import RequestWindow
from async_enroll.sandbox.playground import Site
from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.storage.rows import Rows

_MOST = 50
"""Calls, mails and changes shown, the latest first."""

_MOST_LEARNERS = 200

_REFUSED = 429


@frozen
class _Course:
    """A row of the table of courses."""

    key: str
    exists: bool
    enrolled: int
    unenrolled: int
    waiting: int


@frozen
class _Learner:
    """A row of the table of one course's learners, also of those unenrolled or waiting."""

    name: str
    address: str
    state: str
    cohort: str
    since: str


@frozen
class Playground:
    """The page of a platform. Its arguments are those of `pages`."""

    _site: Site
    _database: Database
    _busy: Callable[[], int]
    _window: RequestWindow | None
    # The access log has seconds of the monotonic clock.
    _epoch: float = field(init=False, factory=lambda: time.time() - time.monotonic())

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the page; if the query names a `course_id`, with the learners in it."""
        template, policy = _template()
        page = template.render(
            release=self._site.release.name,
            window=self._window,
            courses=(courses := self._courses()),
            figures=self._figures(courses),
            faults=Counter(fault.name for _, fault in self._site.faults_made),
            course=self._course(request.query.get("course_id")),
            changes=_latest(self._database.audit),
            mails=_latest(self._site.outbox),
            calls=_latest(self._site.requests),
            most=_MOST,
            clock=self._clock,
        )
        return web.Response(
            # Identifiers may hold lone surrogates, which UTF-8 does not have.
            body=page.encode(errors="backslashreplace"),
            content_type="text/html",
            charset="utf-8",
            headers={
                "Content-Security-Policy": policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def _courses(self) -> list[_Course]:
        """All courses, and missing ones in which someone is enrolled all the same."""
        found = []
        for rows in self._database.all_rows():
            exists = self._database.course(rows.course_id) is not None
            active = Counter(row.is_active for row in rows.enrollments)
            waiting = sum(1 for _ in _waiting(rows, self._database))
            if exists or active or waiting:
                found.append(_Course(rows.course_id, exists, active[True], active[False], waiting))
        return found

    def _figures(self, courses: Sequence[_Course]) -> dict[str, int]:
        calls = self._site.requests
        return {
            "courses": sum(course.exists for course in courses),
            "accounts": self._database.users,
            "enrolled": sum(course.enrolled for course in courses),
            "waiting": sum(course.waiting for course in courses),
            "mails": len(self._site.outbox),
            "calls": len(calls),
            "calls refused (429)": sum(call.status == _REFUSED for call in calls),
            "in progress": self._busy(),
        }

    def _course(self, key: str | None) -> dict[str, object] | None:
        if not key:
            return None
        rows = next(
            (rows for rows in self._database.all_rows() if fold(rows.course_id) == fold(key)), None
        )
        learners = list(_learners(rows, self._database)) if rows else []
        shown = learners[-_MOST_LEARNERS:][::-1]
        return {"key": key, "learners": shown, "more": len(learners) - len(shown)}

    def _clock(self, moment: float) -> str:
        """A moment of the access log as the time of day."""
        return time.strftime("%H:%M:%S", time.localtime(self._epoch + moment))


def _latest(items: Sequence[object]) -> list[tuple[int, object]]:
    """The last items with their numbers, counted from 1; the latest first."""
    numbers = range(max(0, len(items) - _MOST), len(items))
    return [(number + 1, items[number]) for number in reversed(numbers)]


def _waiting(rows: Rows, database: Database) -> Iterator[_Learner]:
    """Learners who wait for registration or activation.

    The platform keeps the records of those who are enrolled since.
    """
    for row in rows.allowed:
        if not rows.is_enrolled(database.user_at(row.email)):
            placed = rows.precohorts.get(fold(row.email))
            state = "waiting" if row.auto_enroll else "may enroll"
            yield _Learner("", row.email, state, placed.cohort if placed else "", "")


def _learners(rows: Rows, database: Database) -> Iterator[_Learner]:
    yield from _waiting(rows, database)
    for row in rows.enrollments:
        placed = rows.cohorts.get(fold(row.username))
        yield _Learner(
            row.username,
            row.email or "",
            "enrolled" if row.is_active else "unenrolled",
            placed.cohort if placed else "",
            f"{row.created:%Y-%m-%d %H:%M}" if row.created else "",
        )


@cache
def _template() -> tuple[Template, str]:
    """The template and its Content-Security-Policy, which allows its own script and style only."""
    here = files("async_enroll.sandbox.playground")
    style, script, page = (
        here.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js", "html.j2")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Neither is anybody's but ours.
    environment.globals |= {"style": Markup(style), "script": Markup(script)}  # noqa: S704
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return environment.from_string(page), policy


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
