"""Keeps the durable record of a job: what was asked for, what was sent, what came back.

It takes the job's events, and gives what is left to do after an interruption, and the report.
"""

from async_enroll.journal.database import path_of
from async_enroll.journal.journal import Journal, digest_of, open_journal
from async_enroll.journal.report import JournalReport
from async_enroll.journal.store import Description, now

__all__ = ["Description", "Journal", "JournalReport", "digest_of", "now", "open_journal", "path_of"]
