"""The durable record of a job: what was asked for, what was sent, what came back."""

from async_enroll.journal.journal import Journal, digest_of, open_journal
from async_enroll.journal.report import JournalReport
from async_enroll.journal.store import Description, now

__all__ = ["Description", "Journal", "JournalReport", "digest_of", "now", "open_journal"]
