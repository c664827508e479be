"""Rosters in files: read whole and checked whole, before anything is sent."""

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
    """What a file wants of whom; `source` is the file's name.

    Iterates as entries, learner by learner, as often as needed; an entry that repeats
    another is left out, so that the length is the number of pairs. `skipped` has the bad
    rows that were left out, the first ten thousand, in words; `warnings` what is worth
    knowing before it is applied; `unused` the names of the columns that are not used; `lines`
    where each pair was asked for.
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
        """Read a roster from a file, or from standard input where `path` is ``-``. Blocks.

        The file is CSV (its delimiter a comma, a semicolon, a tab or a bar; its encoding
        UTF-8, UTF-16 or Windows-1252), JSON Lines, a JSON array of objects or, with the extra
        ``files``, Parquet or Excel (.xlsx); it may be compressed by gzip. Its columns, in
        English, French, Spanish, German, Dutch, Polish, Portuguese or Italian: an identifier
        (``identifier``, ``email``, ``username``, ``courriel``, …), a course key
        (``course_id``, ``course``, ``cours``, …) and, optionally, ``action`` (``enroll`` or
        ``unenroll``; empty: enroll) and ``cohort``. A header is looked for in the first twenty
        rows. Blank rows are passed over.

        What can be understood for certain is read. What cannot is a bad row, or the file is
        refused: an error cell, a formula without its value, a number that a spreadsheet may
        have changed, an invisible character inside an identifier, an address that no platform
        takes, a malformed course key; a column ``status`` or ``role`` that says of some rows that
        they are no learner's, several sheets, hidden rows, a second table below the first.

        Args:
            path: The file.
            columns: What fields are called in the file, as in ``{"identifier": "Mail"}``, or by
                number, as in ``{"identifier": "#2"}``.
            course_id: The course key for a file without such a column.
            action: What to do where the file has no such column; None: enroll.
            cohort: The cohort for a file without such a column.
            where: By which values of which columns rows are chosen, as in
                ``{"status": ["active", "invited"]}``; others are left out.
            ignore_columns: Columns that change nothing, whatever they say of a row.
            sheet: The name of the sheet to read, of a workbook with several rosters.
            hidden_rows: What to do with hidden rows; None: refuse a sheet that has any.
            header: Whether the file has one; without, columns are known by what they hold.
            skip_bad_rows: Whether bad rows are left out, instead of being an error.

        Raises:
            RosterError: naming everything that is wrong with the file, by line and column.
            ConfigurationError: where `path` is no path, `columns` names other fields,
                `course_id` or `cohort` is none, or the extra is missing.

        """
        # Only those who read files load what does.
        from async_enroll.roster.cells import Unreadable, cohort_of, course_key_of
        from async_enroll.roster.columns import FIELDS, Choice, HiddenRows
        from async_enroll.roster.reading import Reading

        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"path is a {type(path).__name__}; expected a file's path")
        source = "standard input" if os.fspath(path) == "-" else os.fspath(path)
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
