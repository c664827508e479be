"""The client: settings, opening and closing, and one method for each kind of work."""

from async_enroll.client.client import EnrollmentClient

__all__ = ["EnrollmentClient"]
