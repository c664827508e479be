"""A job in a process of its own, to be killed: `python -m tests.journal.job JOURNAL [ROSTER]`."""

import os
import sys
from functools import partial

import anyio

from async_enroll import EnrollmentClient, RequestWindow, Roster
from async_enroll.events import BatchSent, Event


def tell(event: Event) -> None:
    """Let whoever has started this know that calls are being sent."""
    if isinstance(event, BatchSent):
        print("sent", flush=True)


async def main(journal: str, roster: str | None = None) -> None:
    """Begin a job, or go on with it."""
    async with EnrollmentClient(
        os.environ["ASYNC_ENROLL_URL"],
        os.environ["ASYNC_ENROLL_TOKEN"],
        window=RequestWindow(10_000, 1),
        timeout=5.0,
        settle=0.4,
        on_event=tell,
    ) as client:
        if roster is None:
            results = client.resume(journal)
        else:
            results = client.stream(Roster.read(roster), journal=journal, email_students=True)
        async for _ in results:
            pass


if __name__ == "__main__":
    anyio.run(partial(main, *sys.argv[1:]))
