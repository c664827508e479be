"""Roster options: how to read the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.cli.console import warn
from async_enroll.cli.options.flag import Flag
from async_enroll.errors import ConfigurationError
from async_enroll.models import Action
from async_enroll.roster import Roster
from async_enroll.roster.columns import HiddenRows

_SHOWN = 100


@Parameter(name="*", group=Group("Roster", sort_key=1))
@frozen(kw_only=True)
class Reading:
    """The options for reading a roster."""

    columns: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="OURS=THEIRS", show_default=False)
    ] = ()
    """Name of a column, as in identifier=Mail, or its number: identifier=#2. Can be repeated."""
    course_id: str | None = None
    """Course key, if the file has no such column."""
    action: Action | None = None
    """Action, if the file has no such column. Default: enroll."""
    cohort: str | None = None
    """Cohort, if the file has no such column."""
    where: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="COLUMN=VALUE", show_default=False)
    ] = ()
    """Read only rows with this value in this column, as in status=active. Can be repeated."""
    ignore_column: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="COLUMN", show_default=False)
    ] = ()
    """Read all rows, whatever this column says of them. Can be repeated."""
    sheet: str | None = None
    """Sheet to read, if a workbook has several rosters."""
    hidden_rows: HiddenRows | None = None
    """What to do with hidden rows of a sheet. Default: refuse the file."""
    no_header: Flag = False
    """The file has no header: columns are known by what they hold, or by --columns."""
    skip_bad_rows: Flag = False
    """Skip and report invalid rows instead of stopping."""

    def read(self, path: str) -> Roster:
        """Read a roster, and print its warnings.

        Raises:
            RosterError: The roster is invalid. Names every problem.
            ConfigurationError: An option is invalid.

        """
        roster = Roster.read(
            path,
            columns=dict(_split(self.columns, "--columns", _COLUMNS)),
            course_id=self.course_id,
            action=self.action,
            cohort=self.cohort,
            where=self._where(),
            ignore_columns=self.ignore_column,
            sheet=self.sheet,
            hidden_rows=self.hidden_rows,
            header=not self.no_header,
            skip_bad_rows=self.skip_bad_rows,
        )
        for warning in roster.warnings:
            warn(warning)
        if roster.skipped:
            shown = "\n  ".join(roster.skipped[:_SHOWN])
            more = len(roster.skipped) - _SHOWN
            rest = f"\n  … and {more:,} more" if more > 0 else ""
            warn(f"{len(roster.skipped):,} bad rows are left out\n  {shown}{rest}")
        return roster

    def _where(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for column, value in _split(self.where, "--where", _WHERE):
            found.setdefault(column, []).append(value)
        return found


@Parameter(name="*", group=Group("Roster", sort_key=1))
@frozen(kw_only=True)
class ComparedReading(Reading):
    """The options for reading a roster, where `Comparing` has --course-id."""

    course_id: Annotated[str | None, Parameter(parse=False)] = None


_COLUMNS = "our name, =, and theirs, as in identifier=Mail"
_WHERE = "a column, =, and a value, as in status=active"


def _split(pairs: Sequence[str], option: str, expected: str) -> list[tuple[str, str]]:
    found = []
    for pair in pairs:
        left, equals, right = pair.partition("=")
        if not left or not equals or not right:
            raise ConfigurationError(f"{option} {pair}: expected {expected}")
        found.append((left, right))
    return found
