"""Four real processes with one token and no shared window, over a loopback socket."""

import asyncio
import sys

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform

WINDOW = RequestWindow(40, 3)
PROCESSES = 4
CALLS = 112  # and one of each process that checks the course

PROCESS = """
import asyncio, sys
from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, RosterEntry

async def main(url, token, calls, seconds, course, *learners):
    window = RequestWindow(int(calls), float(seconds))
    batch = BatchLimits(identifiers=1)
    async with EnrollmentClient(url, token, window=window, batch=batch) as client:
        roster = [RosterEntry(learner, course) for learner in learners]
        (await client.apply(roster, preflight=False)).raise_for_failures()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_four_processes_share_a_window_that_none_of_them_knows_of() -> None:
    async with Platform(window=WINDOW, seconds_per_call=0.02) as platform:
        population = platform.seed(CALLS, 1)
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROCESS,
                platform.url,
                platform.token,
                f"{WINDOW.calls}",
                f"{WINDOW.seconds}",
                population.courses[0],
                *population.emails[number::PROCESSES],
            )
            for number in range(PROCESSES)
        ]
        assert [await process.wait() for process in processes] == [0] * PROCESSES
    assert len(platform.enrollments) == CALLS
    calls = [request for request in platform.requests if "bulk_enroll" in request.path]
    took = max(call.end for call in calls) - min(call.arrival for call in calls)
    optimum = (CALLS + PROCESSES - 1) // WINDOW.calls * WINDOW.seconds
    assert took <= 2 * 1.6 * optimum  # half of it for a busy machine
    # Two or three in each of three windows, of the eight that each has in flight.
    assert sum(call.status == 429 for call in calls) <= 3 * 4 * PROCESSES
