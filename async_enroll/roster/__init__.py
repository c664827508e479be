"""Rosters: files are read and checked completely before anything is sent.

`Roster.read` takes a path and gives the desired pairs, which `planning.plan` turns into batches.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Self, get_args

from attrs import field, frozen

from async_enroll.errors import ConfigurationError, RosterError
from async_enroll.models import Action, RosterEntry
from async_enroll.planning.desired import Desired, Lines

if TYPE_CHECKING:
    from async_enroll.roster.columns import HiddenRows


@frozen
class Roster:
    """The enrollments and unenrollments that a file asks for.

    Iterating yields a `RosterEntry` for each pair, learner by learner, any number of times.
    Repeated entries count once, so the length is the number of pairs.

    Attributes:
        source: The name of the file.
        skipped: A message for each bad row that was left out, for the first 10,000.
        warnings: What to know before the roster is applied.
        unused: The names of columns that are not used.
        lines: The line of each pair.

    """

    source: str
    desired: Desired = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = field(default=(), repr=False)
    unused: tuple[str, ...] = field(default=(), repr=False)
    lines: Lines = field(factory=Lines, repr=False, eq=False)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self.desired)

    def __len__(self) -> int:
        return len(self.desired)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        columns: Mapping[str, str] | None = None,
        course_id: str | None = None,
        action: Action | None = None,
        cohort: str | None = None,
        where: Mapping[str, str | Collection[str]] | None = None,
        ignore_columns: Collection[str] = (),
        sheet: str | None = None,
        hidden_rows: HiddenRows | None = None,
        header: bool = True,
        skip_bad_rows: bool = False,
    ) -> Self:
        """Read a roster from a file, or from standard input if `path` is ``-``. Blocks.

        Formats: CSV (delimited by commas, semicolons, tabs or bars; in UTF-8, UTF-16 or
        Windows-1252), JSON Lines, a JSON array of objects and, with the extra ``files``,
        Parquet and Excel (.xlsx); each may be compressed with gzip.

        Columns: an identifier (``identifier``, ``email``, ``username``, ``courriel``, …), a
        course key (``course_id``, ``course``, ``cours``, …) and, optionally, ``action``
        (``enroll`` or ``unenroll``; empty means enroll) and ``cohort``. Column names are
        recognized in English, French, Spanish, German, Dutch, Polish, Portuguese and Italian.
        The header must be among the first 20 rows. Blank rows are ignored.

        Nothing is guessed. A cell that may mean something else is a bad row: an error cell, a
        formula without a stored value, a number that a spreadsheet may have changed, an
        invisible character in an identifier, an invalid address, a malformed course key. The
        whole file is refused if a ``status`` or ``role`` column says that some rows are not of
        learners to enroll, or if it has several sheets with rosters, hidden rows, or a second
        table below the first.

        Args:
            path: The file.
            columns: The names of columns in the file, by field: ``{"identifier": "Mail"}``; or
                their numbers: ``{"identifier": "#2"}``.
            course_id: The course key of all rows, for a file without such a column.
            action: The action of all rows, for a file without such a column. None: enroll.
            cohort: The cohort of all rows, for a file without such a column.
            where: Read only rows with one of these values in these columns:
                ``{"status": ["active", "invited"]}``.
            ignore_columns: Columns whose values do not change what a row means.
            sheet: The sheet to read, if a workbook has several rosters.
            hidden_rows: Whether to "include" or "skip" hidden rows. None refuses a sheet with
                hidden rows.
            header: Whether the file has a header. Without one, columns are recognized by their
                contents.
            skip_bad_rows: Whether to leave out bad rows instead of raising.

        Raises:
            RosterError: with every problem of the file, by line and column.
            ConfigurationError: if an argument is unusable, or an extra is not installed.

        """
        # Imported here: programs that read no files need not load this.
        from async_enroll.roster.cells import Unreadable, cohort_of, course_key_of
        from async_enroll.roster.columns import FIELDS, Choice, HiddenRows
        from async_enroll.roster.reading import Reading

        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"path is a {type(path).__name__}; expected a file's path")
        for name, given in (("columns", columns), ("where", where)):
            if not isinstance(given, Mapping | None):
                raise ConfigurationError(f"{name} is a {type(given).__name__}; expected a mapping")
        if not isinstance(action, Action | None):
            raise ConfigurationError(
                f"action is {action!r}; expected Action.ENROLL, Action.UNENROLL or None"
            )
        # A file's name need not be text; a report that names it is.
        name = os.fspath(path).encode(errors="backslashreplace").decode()
        source = "standard input" if name == "-" else name
        if unknown := set(columns or {}) - set(FIELDS):
            raise ConfigurationError(
                f"columns names {', '.join(sorted(unknown))}; expected {', '.join(FIELDS)}"
            )
        if hidden_rows not in (None, *get_args(HiddenRows)):
            raise ConfigurationError(
                f"hidden_rows is {hidden_rows!r}; expected 'include' or 'skip', or None"
            )
        values = {"course_id": course_id, "action": action and action.value, "cohort": cohort}
        for name, read in (("course_id", course_key_of), ("cohort", cohort_of)):
            if isinstance(cell := read(values[name] or ""), Unreadable):
                raise ConfigurationError(f"{name}: {cell.words}")
        choice = Choice(
            columns or {},
            {name: value for name, value in values.items() if value is not None},
            {
                name: (some,) if isinstance(some, str) else tuple(some)
                for name, some in (where or {}).items()
            },
            (ignore_columns,) if isinstance(ignore_columns, str) else tuple(ignore_columns),
            sheet,
            hidden_rows,
            header,
        )
        reading = Reading(source, choice)
        try:
            reading.read(path)
        except OSError as error:
            raise RosterError(source, [(error.strerror or str(error)).lower()]) from None
        problems = reading.problems
        if problems.count and (problems.fatal or not skip_bad_rows):
            raise RosterError(source, problems.words, problems.count)
        return cls(
            source,
            reading.entries.desired,
            tuple(problems.words),
            tuple(problems.warnings),
            tuple(reading.unused),
            reading.entries.lines,
        )
