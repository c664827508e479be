"""A process of its own that enrolls learners, one a call: ``python -m …worker '{…}'``.

Prints "ready" when its client is open, begins when it reads a line, and prints what it is told of
the shared window.
"""

import json
import sys

import anyio
from anyio import to_thread

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow
from async_enroll.events import Event, SharedWindowLost, SharedWindowRestored

COURSE = "course-v1:Org+C0+2026"


async def main(
    url: str, token: str, shared_window: str, calls: int, seconds: float, name: str, learners: int
) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, SharedWindowLost | SharedWindowRestored):
            print(type(event).__name__, getattr(event, "reason", ""), flush=True)

    async with EnrollmentClient(
        url,
        token,
        window=RequestWindow(calls, seconds),
        shared_window=shared_window,
        batch=BatchLimits(1),
        on_event=tell,
    ) as client:
        print("ready", flush=True)
        await to_thread.run_sync(sys.stdin.readline)
        names = [f"{name}x{number}@example.org" for number in range(learners)]
        report = await client.bulk_enroll(names, [COURSE])
        assert report.ok
        assert len(report.results) == learners


if __name__ == "__main__":
    anyio.run(lambda: main(**json.loads(sys.argv[1])))
