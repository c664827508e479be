"""A job in a process of its own, to be killed: `python -m tests.journal.job JOURNAL [ROSTER]`.

`DIES_AT` names the event at which it kills itself, `DIES_AFTER` how many of these there are.
`BATCH` is how many learners a call has, `MAIL` may be "changed".
"""

import os
import signal
import sys
from functools import partial

import anyio

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, Roster
from async_enroll.events import BatchSent, Event
from async_enroll.models import EmailStudents

seen = 0


def tell(event: Event) -> None:
    """Let whoever has started this know that calls are being sent; die when it is time."""
    global seen
    if isinstance(event, BatchSent):
        print("sent", flush=True)
    seen += type(event).__name__ == os.environ.get("DIES_AT")
    if seen == int(os.environ.get("DIES_AFTER", "0")) > 0:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(journal: str, roster: str | None = None) -> None:
    """Begin a job, or go on with it."""
    async with EnrollmentClient(
        os.environ["ASYNC_ENROLL_URL"],
        os.environ["ASYNC_ENROLL_TOKEN"],
        window=RequestWindow(10_000, 1),
        batch=BatchLimits(identifiers=int(os.environ.get("BATCH", "200"))),
        timeout=5.0,
        settle=0.4,
        on_event=tell,
    ) as client:
        if roster is None:
            results = client.resume(journal)
        else:
            mail: EmailStudents = "changed" if os.environ.get("MAIL") == "changed" else True
            results = client.stream(Roster.read(roster), journal=journal, email_students=mail)
        async for _ in results:
            pass


if __name__ == "__main__":
    anyio.run(partial(main, *sys.argv[1:]))
