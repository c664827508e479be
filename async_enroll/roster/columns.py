"""What columns are called, in the words registrars use, in English and French."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field

from async_enroll.models import Action

FIELDS: Final = ("identifier", "course_id", "action", "cohort")

_NAMES: Final = {
    "identifier": (
        "identifier, email, e mail, mail, email address, e mail address, user email, student email,"
        "learner email, username, user name, user, login, user id, student, learner,"
        "courriel, adresse courriel, adresse e mail, adresse email, adresse mail,"
        "adresse electronique, identifiant, nom d utilisateur, utilisateur, apprenant, etudiant"
    ),
    "course_id": (
        "course id, course, course key, courseid, courses, cours, id du cours, id cours,"
        "identifiant du cours, identifiant cours, cle du cours, cle de cours, code du cours"
    ),
    "action": "action, operation, actions",
    "cohort": "cohort, cohort name, cohorte, nom de la cohorte, groupe, group",
}
_ACTIONS: Final = {
    Action.ENROLL: (
        "enroll, enrol, enrolled, enrollment, add, inscrire, inscription, inscrit, ajouter"
    ),
    Action.UNENROLL: (
        "unenroll, unenrol, unenrolled, drop, remove, withdraw,"
        "desinscrire, desinscription, desinscrit, retirer, supprimer"
    ),
}


def folded(name: str) -> str:
    """`name` without case, accents and punctuation: as words with single spaces."""
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+", letters.replace("_", " ")))


_FIELD_OF: Final = {
    folded(name): field_ for field_, names in _NAMES.items() for name in names.split(",")
}
_ACTION_OF: Final = {
    folded(word): action for action, words in _ACTIONS.items() for word in words.split(",")
}


def action_of(cell: str) -> Action | None:
    """The action that a word stands for; None for other words."""
    return _ACTION_OF.get(folded(cell))


@define
class Columns:
    """Where the fields are in the rows below one header; `problems` says in words what is wrong.

    `at` has a position for each field that is there, `names` what it is called.
    """

    at: dict[str, int] = field(factory=dict)
    names: dict[str, str] = field(factory=dict)
    problems: list[str] = field(factory=list)


def columns_of(
    header: Sequence[str], mapped: Mapping[str, str], given: Mapping[str, str]
) -> Columns:
    """Find the fields in a header.

    `mapped` says what some fields are called, `given` has the values of fields for files
    without such columns.
    """
    found: dict[str, list[int]] = {}
    taken = {folded(name): field_ for field_, name in mapped.items()}
    for number, name in enumerate(header):
        words = folded(name)
        field_ = taken.get(words) or _FIELD_OF.get(words)
        if field_ and (field_ not in mapped or words == folded(mapped[field_])):
            found.setdefault(field_, []).append(number)
    columns = Columns()
    for field_, numbers in found.items():
        columns.at[field_] = numbers[0]
        columns.names[field_] = header[numbers[0]].strip()
        if len(numbers) > 1:
            some = ", ".join(repr(header[number].strip()) for number in numbers)
            columns.problems.append(
                f"found {some}; expected one of them: choose with --columns {field_}=…"
            )
        if field_ in given:
            columns.problems.append(
                f"found a column {columns.names[field_]!r}, and {given[field_]!r} given for all "
                "rows; expected one of the two"
            )
    columns.problems += [
        f"found no column {name!r}; expected it as the {field_}"
        for field_, name in mapped.items()
        if field_ not in found
    ]
    columns.problems += [
        f"found {_shown(header)}; expected {words}, or --columns {field_}=… for another name"
        + (", or --course-id … for all rows" if field_ == "course_id" else "")
        for field_, words in _NEEDED.items()
        if field_ not in found and field_ not in given and field_ not in mapped
    ]
    return columns


_NEEDED: Final = {
    "identifier": "a column identifier, email or username",
    "course_id": "a column course_id",
}


def _shown(header: Sequence[str]) -> str:
    names = [repr(name.strip()[:40]) for name in header if name.strip()]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "no names") + more
