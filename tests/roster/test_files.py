"""Rosters as registrars have them, and what reading each comes to: `files/expected.json`.

Of each file it says one of these: `reads`, the entries, and `warns`, a word of a warning;
`reads_some`; `bad`, the lines of its bad rows, and `says`, words of what is said of them;
`bad_some`; `refused`, words of why.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from async_enroll import Roster, RosterError

FILES = Path(__file__).parent / "files"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FILES / "expected.json").read_text())["files"]


def lines(problems: list[str]) -> set[int]:
    return {int(found[1]) for words in problems if (found := re.match(r"line (\d+)", words))}


def test_every_file_is_expected_to_be_something() -> None:
    assert {path.name for path in FILES.iterdir()} == {*EXPECTED, "expected.json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_roster_as_registrars_have_it(name: str) -> None:
    expected = EXPECTED[name]
    if {"reads", "reads_some"} & set(expected):
        roster = Roster.read(FILES / name)
        found = [
            [entry.identifier, entry.course_id, entry.action.value, entry.cohort]
            for entry in roster
        ]
        assert found == expected.get("reads", found)
        assert len(found) >= expected.get("reads_some", 1)
        assert expected.get("warns", "") in " ".join(roster.warnings)
        return
    with pytest.raises(RosterError) as caught:
        Roster.read(FILES / name)
    told = caught.value.problems
    for words in expected.get("says", []) + expected.get("refused", []):
        assert words in " ".join(told)
    if "bad" in expected:
        assert lines(told) == set(expected["bad"])
    elif "bad_some" in expected:
        assert lines(told)
