"""The journal: the durable record of a job, from which it can be resumed and reported."""

from async_enroll.journal.journal import Journal, digest_of, open_journal
from async_enroll.journal.report import JournalReport
from async_enroll.journal.store import Description, now

__all__ = ["Description", "Journal", "JournalReport", "digest_of", "now", "open_journal"]
