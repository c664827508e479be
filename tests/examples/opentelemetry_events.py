"""Traces and metrics of enrollment jobs, with OpenTelemetry.

Install:      async_enroll opentelemetry-sdk
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
Run:          python opentelemetry_events.py COURSE IDENTIFIER...

`traced` makes one span for each job, a child span for each of its calls, and a counter of pairs
by outcome. Take it into an application that sets up its own providers; `main` prints everything
on the terminal. Only numbers and words of async_enroll's own are recorded: what the platform
says, as in `error`, may name people.
"""

import os
import sys
from collections.abc import Callable

import anyio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from async_enroll import EnrollmentClient
from async_enroll.events import BatchAnswered, BatchSettled, Event, JobDone, JobStarted

tracer = trace.get_tracer("async_enroll")
pairs = metrics.get_meter("async_enroll").create_counter("enroll.pairs")


def traced() -> Callable[[Event], None]:
    """A new `on_event` for one client: EnrollmentClient(..., on_event=traced())."""
    jobs: dict[int, trace.Span] = {}

    def on_event(event: Event) -> None:
        now = int(event.at * 1e9)
        match event:
            case JobStarted():
                jobs[event.job] = tracer.start_span("enroll.job", start_time=now)
            case BatchAnswered():
                call = tracer.start_span(
                    "enroll.call",
                    trace.set_span_in_context(jobs[event.job]),
                    kind=trace.SpanKind.CLIENT,
                    attributes={"enroll.call": event.call, "enroll.pairs": event.batch.pairs},
                    start_time=now - int(event.seconds * 1e9),
                )
                if event.status:
                    call.set_attribute("http.response.status_code", event.status)
                if event.failure:
                    call.set_status(trace.StatusCode.ERROR, event.failure.value)
                call.end(now)
            case BatchSettled():
                for result in event.results:
                    pairs.add(1, {"enroll.outcome": result.outcome.value})
            case JobDone():
                job = jobs.pop(event.job)
                if event.error:
                    job.set_status(trace.StatusCode.ERROR)
                job.end(now)

    return on_event


async def main(course_id: str, identifiers: list[str]) -> None:
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(spans)
    counts = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
    metrics.set_meter_provider(counts)
    site, token = os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"]
    async with EnrollmentClient(site, token, on_event=traced()) as client:
        await client.bulk_enroll(identifiers, [course_id])
    counts.shutdown()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
