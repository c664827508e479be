"""The file of a planned sync: its roster, its options, and what was found. No I/O.

`cli` writes it after a diff, and syncs by it only if another diff finds the same.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable
from typing import Self

import msgspec
from attrs import frozen

from async_enroll.errors import ConfigurationError, SyncRefused
from async_enroll.models import Action, RosterEntry
from async_enroll.planning.desired import Desired
from async_enroll.planning.diff import DiffOptions, RosterDiff

_VERSION = 1

_Row = tuple[str, str, str, str | None]
"""An identifier, a course key, an action and a cohort."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    async_enroll_sync: int
    site: str
    source: str
    courses: tuple[str, ...] | None
    remove: bool
    keep: tuple[str, ...]
    max_removals: int | float | None
    remove_modes: tuple[str, ...]
    roster: list[_Row]
    changes: list[_Row]


def sync_file(diff: RosterDiff) -> str:
    """The file of a diff, as JSON text."""
    options = diff.options
    file = _File(
        _VERSION,
        diff.site,
        diff.source,
        options.courses,
        options.remove,
        options.keep,
        options.max_removals,
        options.remove_modes,
        _rows(diff.desired),
        sorted(_rows(diff.changes), key=str),
    )
    return msgspec.json.encode(file).decode() + "\n"


@frozen
class PlannedSync:
    """What the file of a planned sync holds; `changes` are the rows that were to be sent."""

    site: str
    source: str
    options: DiffOptions
    desired: Desired
    changes: tuple[_Row, ...]

    @classmethod
    def read(cls, content: bytes, name: str) -> Self:
        """Read the file called `name`.

        Raises:
            ConfigurationError: if it is not the file of a planned sync.

        """
        expected = "expected the file of a planned sync, as `diff --output plan.json` writes it"
        try:
            file = msgspec.json.decode(content.removeprefix(BOM_UTF8), type=_File)
            if file.async_enroll_sync != _VERSION:
                raise ValueError(f"version {file.async_enroll_sync}")
            desired = Desired()
            for identifier, course_id, action, cohort in file.roster:
                spelled = desired.spelling(identifier)
                if other := desired.add(spelled, course_id, Action(action), cohort):
                    raise ValueError(f"{spelled} in {course_id}: {action}, and before {other}")
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise ConfigurationError(f"{name}: {error}; {expected}") from None
        options = DiffOptions(
            file.courses, file.remove, file.keep, file.max_removals, file.remove_modes
        )
        return cls(file.site, file.source, options, desired, tuple(file.changes))

    def check(self, diff: RosterDiff) -> None:
        """Check that a new diff finds the same changes.

        Raises:
            SyncRefused: if the platform has changed since.
            ConfigurationError: if the diff is of another site.

        """
        if diff.site != self.site:
            raise ConfigurationError(f"the plan is of {self.site}, not of {diff.site}")
        before, now = set(self.changes), set(_rows(diff.changes))
        if before != now:
            words = f"changes no longer needed: {len(before - now):,}, new: {len(now - before):,}"
            raise SyncRefused(
                [
                    "the platform has changed since the plan was made, or the plan was edited "
                    f"({words}); make a new plan"
                ]
            )


def _rows(entries: Iterable[RosterEntry]) -> list[_Row]:
    return [
        (entry.identifier, entry.course_id, entry.action.value, entry.cohort) for entry in entries
    ]
