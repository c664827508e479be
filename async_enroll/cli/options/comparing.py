"""Options of the commands that compare courses with a roster."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from attrs import evolve, frozen
from cyclopts import Group, Parameter

from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.rosters import Reading
from async_enroll.errors import ConfigurationError, RosterError
from async_enroll.jobs.diff import identifiers_in
from async_enroll.roster import Roster
from async_enroll.roster.columns import GIVEN_TOO


@Parameter(name="*", group=Group("Comparison", sort_key=0))
@frozen(kw_only=True)
class Comparing:
    """The options for what is compared, and for what may be removed."""

    course_id: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="KEY", show_default=False)
    ] = ()
    """Compare only this course, which rows without a course are of. Can be repeated."""
    remove: Flag = False
    """Unenroll learners who are enrolled and not in the roster."""
    max_removals: Annotated[str, Parameter(metavar="20%|N|none")] = "20%"
    """Most learners to unenroll, per course and in all; none for no bound, as to empty a course."""
    keep: Annotated[Path | None, Parameter(metavar="FILE")] = None
    """Text file with an identifier in each line: learners who are never unenrolled."""
    remove_mode: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="MODE", show_default=False)
    ] = ()
    """Unenroll learners in this mode, too, such as verified. Can be repeated."""

    def arguments(self) -> dict[str, Any]:
        """The arguments of `EnrollmentClient.diff`. Raises ConfigurationError for a bad option."""
        for option, values in (("course-id", self.course_id), ("remove-mode", self.remove_mode)):
            if not all(map(str.strip, values)):
                raise ConfigurationError(f"--{option}: is blank; expected text")
        return {
            "courses": self.course_id or None,
            "remove": self.remove,
            "keep": identifiers_in(self.keep, f"--keep {self.keep}") if self.keep else (),
            "max_removals": _bound(self.max_removals),
            "remove_modes": self.remove_mode,
        }

    def read(self, roster: str, reading: Reading) -> Roster:
        """Read the roster. Raises as `Reading.read`."""
        if len(self.course_id) != 1:
            return reading.read(roster)
        try:
            return evolve(reading, course_id=self.course_id[0]).read(roster)
        except RosterError as error:
            if roster == "-" or not any(GIVEN_TOO in problem for problem in error.problems):
                raise
        return reading.read(roster)  # it has a column with courses


_MOST_DIGITS = 9
"""Of a number of people."""


def _bound(text: str) -> int | float | None:
    expected = f"--max-removals {text}: expected a number of people, a share as in 20%, or none"
    if text == "none":
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    try:
        share = Decimal(text.removesuffix("%")) / 100
    except InvalidOperation:
        raise ConfigurationError(expected) from None
    if not text.endswith("%") or share.is_nan() or not 0 <= share <= 1:
        raise ConfigurationError(expected)
    return float(share)
