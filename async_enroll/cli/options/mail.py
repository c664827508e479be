"""Whom a job mails: `--email-students`, `--email-changed`, or nobody."""

from __future__ import annotations

from async_enroll.errors import ConfigurationError
from async_enroll.models import EmailStudents


def whom_to_mail(*, email_students: bool, email_changed: bool) -> EmailStudents:
    """Combine both options to the value of `email_students` that the client takes.

    Raises:
        ConfigurationError: if both are given.

    """
    if email_students and email_changed:
        raise ConfigurationError(
            "--email-students and --email-changed are both given; expected one: everybody is "
            "mailed, or those alone whose enrollment changes"
        )
    return "changed" if email_changed else email_students


def with_or_without(email_students: EmailStudents) -> str:
    """Whom a job mails, as the end of a question."""
    if email_students == "changed":
        return "with e-mail to those whose enrollment changes"
    return "with e-mail" if email_students else "without e-mail"
