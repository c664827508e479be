"""Enroll learners from a Django site, or any other, in the tasks of a Celery worker.

Install:      "async_enroll[redis]" "celery[redis]"
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
              REDIS_URL           like redis://localhost:6379/0, for tasks, results and the window
Run:          celery --app celery_tasks worker --concurrency 4

In the site, with the same environment::

    from celery_tasks import enroll
    enroll.delay(["jane@example.org"], ["course-v1:Org+C1+2026"])

Tasks are ordinary functions; the client is asynchronous, and lives long. So each worker process
has one event loop in a thread of its own, and on it one client for all of its tasks. All processes
share the site's request window by way of the Redis that they have anyway.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from async_enroll import EnrollError, EnrollmentClient, EnrollmentReport

REDIS = os.environ["REDIS_URL"]

app = Celery("celery_tasks", broker=REDIS, backend=REDIS)
app.conf.update(
    task_acks_late=True,  # a task whose worker was killed runs again: enrolling twice does no harm
    worker_prefetch_multiplier=1,
    task_time_limit=3600,
)


class Enrollments:
    """A synchronous face over one client and its event loop, for one process."""

    def __init__(self, client: EnrollmentClient) -> None:
        self._client = client
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def open(self) -> None:
        """Start the loop and open the client on it. Call it after the process was forked."""
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self._client))

    def close(self) -> None:
        """Close the client, then stop the loop."""
        self._stack.close()

    def bulk_enroll(self, identifiers: list[str], courses: list[str]) -> EnrollmentReport:
        """As `EnrollmentClient.bulk_enroll`; waits for the report."""
        assert self._portal is not None, "the worker process has not opened it"
        return self._portal.call(self._client.bulk_enroll, identifiers, courses)


# Connects to nothing yet: that is for after the fork.
enrollments = Enrollments(
    EnrollmentClient(
        os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"], shared_window=REDIS
    )
)


@worker_process_init.connect
def open_client(**_: Any) -> None:
    """Open the client of a new worker process."""
    enrollments.open()


@worker_process_shutdown.connect
def close_client(**_: Any) -> None:
    """Close the client of a worker process that ends."""
    enrollments.close()


@app.task(autoretry_for=(EnrollError,), retry_backoff=True, max_retries=5)
def enroll(identifiers: list[str], courses: list[str]) -> dict[str, str]:
    """Enroll learners; return the outcome of each that failed, by learner and course."""
    report = enrollments.bulk_enroll(identifiers, courses)
    return {f"{one.identifier} {one.course_id}": str(one.error) for one in report.failures}
