"""Jobs as they happen, for tests and a picture: `python -m tests.reports.html.example out.html`."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve, frozen

from async_enroll import Action, EnrollmentResult, Outcome
from async_enroll.reports.html import write_page
from async_enroll.reports.summary import Summary
from async_enroll.reports.timeline import Hold, Timeline
from tests.blocks import block_of

START = 1_792_486_800.0  # 2026-10-20 09:00 UTC
_SUBJECTS = ("Algebra", "Biology", "Chemistry", "French", "Geometry", "History", "Latin", "Music")
_NAMES = ("amina", "ben", "chiara", "dmitri", "elif", "femi", "grace", "hana", "igor", "jane")
_FAILURES = (
    (Outcome.INVALID_IDENTIFIER, "neither a user of the platform nor a plausible e-mail address"),
    (Outcome.ERROR, "the platform fails on this learner; its log says why (status 500)"),
    (Outcome.UNCONFIRMED, "no answer within 60 s, and the enrollments could not be read"),
)
_LOST = (Outcome.REJECTED, "the course does not exist (status 404)")
_SUCCESSES = {
    Action.ENROLL: (Outcome.ENROLLED, Outcome.ALREADY_ENROLLED, Outcome.ALLOWED),
    Action.UNENROLL: (Outcome.UNENROLLED, Outcome.NOT_ENROLLED, Outcome.WITHDRAWN),
}
_SETTINGS = {
    "site": "https://courses.example.org",
    "roster": "autumn-term.csv",
    "enroll on registering or activating": "yes",
    "mail to learners": "no",
    "request window": "120 calls in 60 s",
    "batch": "200 identifiers, 500 pairs",
}

# After how much of the work, what, and for how much of the time; None is a night.
_MISHAPS: tuple[tuple[float, Hold | None, float], ...] = (
    (0.15, Hold.THROTTLE, 0.04),
    (0.4, Hold.OUTAGE, 0.16),
    (0.6, None, 0.0),
    (0.75, Hold.THROTTLE, 0.03),
    (0.88, Hold.THROTTLE, 0.03),
)


@frozen
class Job:
    """A made-up job: so many pairs, and how many of them go wrong."""

    courses: int = 30
    pairs: int = 5_000
    failures: int = 40
    seconds: float = 250.0
    title: str = "Autumn term 2026"

    def results(self) -> Iterator[EnrollmentResult]:
        """What became of the pairs, the same each time."""
        chance = random.Random(self.pairs)
        names = (f"{_SUBJECTS[n % 8]}{101 + n // 8}" for n in range(self.courses))
        keys = [f"course-v1:Example+{name}+2026" for name in names]
        weights = [chance.lognormvariate(0, 0.8) for _ in keys]
        failing = chance.sample(range(self.pairs), self.failures)
        # The first course of the list turns out not to exist.
        lost = set(failing[: self.failures // 3])
        others = set(failing) - lost
        weights[0] *= not lost
        for number, key in enumerate(chance.choices(keys, weights, k=self.pairs)):
            identifier = f"{chance.choice(_NAMES)}.{number}@example.org"
            action = Action.UNENROLL if number % 11 == 0 else Action.ENROLL
            outcome, error = chance.choices(_SUCCESSES[action], (80, 9, 6))[0], None
            if number in lost:
                key, outcome, error = keys[0], *_LOST
            elif number in others:
                outcome, error = chance.choices(_FAILURES, (5, 2, 1))[0]
            yield EnrollmentResult(identifier, key, action, outcome, error=error)

    def account(self) -> tuple[Summary, Timeline]:
        """The job as it went: held back by the throttle, left alone once, stopped for a night."""
        chance = random.Random(self.seconds)
        summary, timeline = Summary(), Timeline()
        results = list(self.results())
        size = max(len(results) // 400, 10)
        fault_injector = list(_MISHAPS)
        at = START
        timeline.resume(at)
        for place in range(0, len(results), size):
            if fault_injector and place >= fault_injector[0][0] * len(results):
                _, hold, part = fault_injector.pop(0)
                if hold:
                    timeline.pause(at, part * self.seconds, hold)
                at += part * self.seconds if hold else 50_000
                if not hold:
                    timeline.resume(at)
            call = results[place : place + size]
            at += self.seconds / len(results) * size * chance.uniform(0.4, 1.6)
            summary.add(block_of(evolve(result, at=at)) for result in call)
            timeline.add(at, len(call), sum(not result.outcome.ok for result in call))
        return summary, timeline

    def write(self, path: Path) -> None:
        """Write the job's page."""
        summary, timeline = self.account()
        with path.open("w", encoding="utf-8") as file:
            write_page(file, summary, title=self.title, settings=_SETTINGS, timeline=timeline)


if __name__ == "__main__":
    Job().write(Path(sys.argv[1]))
