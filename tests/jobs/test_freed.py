"""What a job holds is freed when it ends, and not only once Python looks for garbage."""

import gc
from collections import Counter

import pytest

from async_enroll import BatchLimits, EnrollmentClient
from async_enroll.delivery.delivery import Delivery
from async_enroll.delivery.dispatch import Dispatch
from async_enroll.jobs.runner import Job
from async_enroll.reports.report import ReportBuilder
from async_enroll.sandbox import Platform

KINDS = (Job, Delivery, Dispatch, ReportBuilder)
LEARNERS = [f"learner{number}@example.org" for number in range(10)]
COURSE = "course-v1:Org+C0+2026"


def held() -> Counter[str]:
    """How many there are of what a job is made of: also those that other tests have left."""
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in KINDS)


@pytest.mark.parametrize("pairs", [1000, 2], ids=["one call", "five calls"])
async def test_a_job_leaves_no_garbage(platform: Platform, pairs: int) -> None:
    limits = BatchLimits(pairs=pairs)
    async with EnrollmentClient(platform.url, platform.token, batch=limits) as client:
        await client.bulk_enroll(LEARNERS, [COURSE])  # what is loaded but once
        gc.collect()
        before = held()
        gc.disable()
        try:
            report = await client.bulk_enroll(LEARNERS, [COURSE], email_students="changed")
            after = held()
        finally:
            gc.enable()
    assert report.ok
    assert after == before
