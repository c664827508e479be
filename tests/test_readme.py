"""What the README prints is what runs."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from async_enroll import BatchLimits, EnrollmentClient
from async_enroll.sandbox import Fault, Faults, Platform
from tests.readme import PYTHON, README

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"
ON_ASYNCIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with Platform() as platform:
        platform.add_course(C1)
        platform.add_course(C2)
        platform.add_user("jane", "jane@example.org")
        yield platform


def environment(platform: Platform) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "ASYNC_ENROLL_URL": platform.url,
        "ASYNC_ENROLL_TOKEN": platform.token,
    }


def block(name: str) -> str:
    found = re.search(rf"^<!-- {name} -->\n```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


async def test_await(site: Platform) -> None:
    code = next(code for code in PYTHON if "ASYNC_ENROLL_URL" in code)
    done = await anyio.run_process([sys.executable, "-c", code], env=environment(site), stderr=None)
    assert site.is_enrolled("jane", C1)
    assert site.is_enrolled("jane", C2)
    assert len(site.outbox) == 2
    printed = done.stdout.decode()
    assert "4 enrollments in 2 courses: 2 failed" in printed
    assert "john course-v1:Org+C2+2026 Outcome.INVALID_IDENTIFIER" in printed
    assert printed.splitlines()[-1].startswith("jane 20")


async def test_migrate(site: Platform, tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "roster.csv").write_text(
        f"email,course_id\njane@example.org,{C1}\n"
    )
    # The two lines that name the site are the reader's own to change.
    commands = "\n".join(line for line in block("migrate").splitlines() if "export" not in line)
    script = f"set -e\n{commands}\n"
    await anyio.run_process(["sh", "-c", script], env=environment(site), cwd=tmp_path, stderr=None)
    assert site.is_enrolled("jane", C1)
    assert "jane@example.org" not in await anyio.Path(tmp_path / "mend.csv").read_text()
    assert (
        "The one enrollment is as requested"
        in await anyio.Path(tmp_path / "outcome.html").read_text()
    )
    assert "jane@example.org" in await anyio.Path(tmp_path / "new.csv").read_text()


async def test_sandbox() -> None:
    code = next(code for code in PYTHON if "async with Platform" in code)
    await anyio.run_process([sys.executable, "-c", code], stderr=None)


async def test_fixtures(tmp_path: Path) -> None:
    code = next(code for code in PYTHON if "enroll_client" in code)
    await anyio.Path(tmp_path / "test_enrolling.py").write_text(code)
    await anyio.Path(tmp_path / "conftest.py").write_text(ON_ASYNCIO)
    options = ["-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "-o", "anyio_mode=auto"]
    command = [sys.executable, "-m", "pytest", *options]
    done = await anyio.run_process(command, cwd=tmp_path, stderr=None)
    assert b"2 passed" in done.stdout


async def test_traces() -> None:
    spans, counts = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([counts]))
    names: dict[str, Any] = {}
    exec(next(code for code in PYTHON if "opentelemetry" in code), names)
    learners = [f"learner{number}@example.org" for number in range(4)]
    # The first call asks for the course, and is no call of a batch.
    async with Platform(faults=Faults.schedule({1: Fault.SERVER_ERROR})) as platform:
        platform.add_course(C1)
        async with EnrollmentClient(
            platform.url,
            platform.token,
            batch=BatchLimits(identifiers=2),
            concurrency=1,
            on_event=names["traced"](),
        ) as client:
            with trace.get_tracer("web").start_as_current_span("request"):
                await client.bulk_enroll(learners, [C1])
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await client.bulk_enroll(learners, [C1])
    *calls, job, cancelled, request = spans.get_finished_spans()
    assert [span.name for span in (job, cancelled)] == ["enroll.job"] * 2
    assert job.parent == cancelled.parent == request.context
    assert job.status.is_unset
    assert cancelled.status.status_code is trace.StatusCode.ERROR
    assert {span.name for span in calls} == {"enroll.call"}
    assert all(span.parent == job.context for span in calls)
    told = [(span.attributes or {}).get("http.response.status_code") for span in calls]
    assert told == [500] + [200] * (len(calls) - 1)
    assert [span.status.description for span in calls][:2] == ["undone", None]
    data = counts.get_metrics_data()
    assert data
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert isinstance(point, NumberDataPoint)
    assert (point.attributes, point.value) == ({"enroll.outcome": "allowed"}, len(learners))
    exported = [data.to_json(), *(span.to_json() for span in spans.get_finished_spans())]
    assert "learner" not in "".join(exported)


def test_every_block_is_run() -> None:
    """The bot and the web applications are in `tests.bot` and `tests.web`."""
    assert len(PYTHON) == 7
    assert README.count("```sh") == 3


def test_the_two_commands_are_one_line_each() -> None:
    assert block("demo").count("\n") == block("tests").count("\n") == 1
