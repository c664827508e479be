"""A sent mail."""

from __future__ import annotations

from attrs import frozen

from async_enroll.models import Action


@frozen
class Mail:
    """A mail that has been sent."""

    action: Action
    to: str
    course_id: str
