"""Output of what verifying a job has found, pair by pair."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import msgspec
from attrs import asdict
from rich.text import Text

from async_enroll.cli.console import OUT, printable, say
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.client import EnrollmentClient
from async_enroll.jobs.verify import Verified
from async_enroll.reports.summary import counted
from async_enroll.reports.words import name_of

_SHOWN = 50
_WORDS = {True: "still as reported", False: "no longer as reported", None: "cannot be seen"}
_NAMES = {True: "holds", False: "no_longer", None: "cannot_be_seen"}


async def show_verified(client: EnrollmentClient, journal: Path, *, json: bool) -> ExitStatus:
    """Print whether what a job has reported still holds; as JSON, for every pair."""
    counts: Counter[bool | None] = Counter()
    named: dict[bool | None, list[Verified]] = {False: [], None: []}
    async with client, aclosing(client.verify(journal)) as pairs:
        if json:
            sys.stdout.write('{"pairs": [')
        async for pair in pairs:
            if json:
                sys.stdout.write((",\n" if counts else "\n") + _json(pair))
            counts[pair.holds] += 1
            if pair.holds is not True and len(named[pair.holds]) < _SHOWN:
                named[pair.holds].append(pair)
    if json:
        by_name = {name: counts[holds] for holds, name in _NAMES.items()}
        sys.stdout.write(f'],\n"counts": {msgspec.json.encode(by_name).decode()}}}\n')
    else:
        for holds, some in named.items():
            _show(holds, some, counts[holds])
        say(OUT, Text(f"{counted(counts.total(), 'enrollment')} looked up", "bold"))
        for holds, words in _WORDS.items():
            say(OUT, Text(f"  {words:<24}{counts[holds]:>9,}"))
    return ExitStatus.FAILED_PAIRS if counts[False] else ExitStatus.OK


def _show(holds: bool | None, some: list[Verified], count: int) -> None:
    if not some:
        return
    say(OUT, Text(_WORDS[holds].capitalize(), "yellow" if holds is None else "red"))
    for pair in some:
        words = f"{pair.identifier} in {pair.course_id}: {name_of(pair.outcome)}; now: {pair.now}"
        say(OUT, Text(f"  {printable(words)}"))
    if count > len(some):
        say(OUT, Text(f"  … and {count - len(some):,} more; --json lists all", "dim"))


def _json(pair: Verified) -> str:
    fields = {**asdict(pair), "outcome": pair.outcome.value}
    return msgspec.json.encode(fields).decode()
