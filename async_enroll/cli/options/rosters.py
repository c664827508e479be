"""Roster options: how to read the file."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.cli.console import warn
from async_enroll.cli.options.flag import Flag
from async_enroll.errors import ConfigurationError
from async_enroll.models import Action
from async_enroll.roster import Roster

_SHOWN = 100


@Parameter(name="*", group=Group("Roster", sort_key=1))
@frozen(kw_only=True)
class Reading:
    """The options for reading a roster."""

    columns: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="OURS=THEIRS", show_default=False)
    ] = ()
    """Name of a column in the file, as in identifier=Mail. Can be repeated."""
    course_id: str | None = None
    """Course key, if the file has no such column."""
    action: Action | None = None
    """Action, if the file has no such column. Default: enroll."""
    cohort: str | None = None
    """Cohort, if the file has no such column."""
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
            columns=self._columns(),
            course_id=self.course_id,
            action=self.action,
            cohort=self.cohort,
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

    def _columns(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for pair in self.columns:
            ours, equals, theirs = pair.partition("=")
            if not equals or not theirs:
                raise ConfigurationError(
                    f"--columns {pair}: expected our name, =, and theirs, as in identifier=Mail"
                )
            found[ours] = theirs
        return found
