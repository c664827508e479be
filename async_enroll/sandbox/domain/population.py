"""A demo population."""

from __future__ import annotations

from attrs import frozen

from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.storage.rows import Course, User

COHORTS = frozenset({"Group A", "Group B"})


@frozen
class Population:
    """The users and courses that were added: usernames, their addresses, course keys."""

    usernames: tuple[str, ...]
    emails: tuple[str, ...]
    courses: tuple[str, ...]


def populate(database: Database, *, learners: int, courses: int) -> Population:
    """Add learners and courses without enrollments; the same ones for the same numbers."""
    population = Population(
        usernames=tuple(f"learner{number:06}" for number in range(1, learners + 1)),
        emails=tuple(f"learner{number:06}@example.org" for number in range(1, learners + 1)),
        courses=tuple(f"course-v1:Demo+C{number:03}+2026" for number in range(1, courses + 1)),
    )
    for course_id in population.courses:
        database.add_course(Course(course_id, COHORTS, forbidden=False))
    for username, email in zip(population.usernames, population.emails, strict=True):
        database.add_user(User(username, email))
    return population
