"""Reports on a job's results: in memory, in numbers, over time, as files, as an HTML page.

Takes blocks of results from `delivery`, through `jobs` or the journal. Sends nothing.
"""

from async_enroll.reports.export import write

__all__ = ["write"]
