"""A report, for people."""

from __future__ import annotations

from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from async_enroll.cli.console import OUT, printable, say
from async_enroll.models import EnrollmentResult
from async_enroll.report import EnrollmentReport

_SHOWN = 50


def show_report(report: EnrollmentReport) -> None:
    """Print how many pairs came to which outcome, and the first failures with their reasons."""
    counts = sorted(report.counts.items(), key=lambda item: -item[1])
    rows = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    rows.add_column("outcome", footer="all")
    rows.add_column("pairs", footer=f"{sum(report.counts.values()):,}", justify="right")
    for outcome, count in counts:
        rows.add_row(outcome.value, f"{count:,}", style="green" if outcome.ok else "red")
    OUT.print(rows)
    if not report.ok:
        _show_failures(report.failures)


def _show_failures(failures: tuple[EnrollmentResult, ...]) -> None:
    OUT.print(Text("Not as asked", "bold"))
    shown = sorted(failures[:_SHOWN], key=_reason)
    width = max(len(printable(result.identifier)) for result in shown)
    for reason, results in groupby(shown, key=_reason):
        say(OUT, Text(reason, "red"))
        for result in results:
            pair = f"  {printable(result.identifier):<{width}}  {printable(result.course_id)}"
            say(OUT, Text(pair))
    if len(failures) > _SHOWN:
        more = f"… and {len(failures) - _SHOWN:,} more; --report FILE.csv has them all"
        say(OUT, Text(more))


def _reason(result: EnrollmentResult) -> str:
    return printable(f"{result.outcome.value}: {result.error}")
