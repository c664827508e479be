"""The example of traces and metrics, into memory and as the program that it is."""

import sys

import anyio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from async_enroll import BatchLimits, EnrollmentClient
from async_enroll.sandbox import Fault, Faults, Platform
from tests.cli.command import environment
from tests.examples.loading import program

C1 = "course-v1:Org+C1+2026"


async def test_spans_and_counts() -> None:
    spans, counts = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([counts]))
    example = program("opentelemetry_events")
    learners = [f"learner{number}@example.org" for number in range(4)]
    # The first call asks for the course, and is no call of a batch.
    async with Platform(faults=Faults.schedule({1: Fault.SERVER_ERROR})) as platform:
        platform.add_course(C1)
        async with EnrollmentClient(
            platform.url,
            platform.token,
            batch=BatchLimits(identifiers=2),
            concurrency=1,
            on_event=example.traced(),
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


async def test_the_program() -> None:
    async with Platform() as platform:
        platform.add_course(C1)
        file = program("opentelemetry_events").__file__
        command = [sys.executable, str(file), C1, "jane@example.org", "john@example.org"]
        done = await anyio.run_process(command, env=environment(platform), stderr=None)
        assert platform.is_allowed("john@example.org", C1)
    printed = done.stdout.decode()
    assert '"name": "enroll.job"' in printed
    assert '"enroll.outcome": "allowed"' in printed
    assert '"value": 2' in printed
    assert "@example.org" not in printed
