"""Who is never removed, whatever a roster says. No I/O.

`planning.diff` asks it about each learner who is enrolled and not in the roster.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from attrs import frozen

from async_enroll.models import loose_key

FREE_MODES = frozenset({"audit", "honor"})
"""Modes that enrolling again restores. Another one, paid or verified, is lost by unenrolling."""


@frozen
class Protection:
    """Learners who are never removed: those to keep, the token's own user, those in some modes.

    `own` and `keep` are by `loose_key`. `modes` are those in which enrollments may be removed.
    """

    own: str | None
    keep: frozenset[str]
    modes: frozenset[str]

    @classmethod
    def of(cls, own: str | None, keep: Iterable[str], remove_modes: Iterable[str]) -> Self:
        """Protect usernames and addresses, and those in modes that are neither free nor given."""
        return cls(
            None if own is None else loose_key(own),
            frozenset(map(loose_key, keep)),
            FREE_MODES.union(mode.lower() for mode in remove_modes),
        )

    def why_kept(self, name: str, address: str, mode: str) -> str | None:
        """Why a learner stays enrolled, in words; None if nothing protects them.

        `name` and `address` are by `loose_key`.
        """
        if self.own in (name, address):
            return "is the token's own user"
        if name in self.keep or address in self.keep:
            return "is to be kept"
        if mode not in self.modes and mode.lower() not in self.modes:
            return f"is enrolled as {mode}, which enrolling again does not restore"
        return None
