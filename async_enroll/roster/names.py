"""Names of columns, actions and states in eight languages, as registrars use them.

English, French, Spanish, German, Dutch, Polish, Portuguese and Italian; all `folded`.
`roster.columns` and `roster.cells` look words up here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from async_enroll.models import Action

_LETTERS = str.maketrans({"ł": "l", "ß": "ss", "ø": "o", "æ": "ae", "œ": "oe"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return `name` in lower case without accents and punctuation: words with single spaces."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name).lower().translate(_LETTERS))
    letters = "".join(
        letter
        for letter in plain
        if not unicodedata.combining(letter) and unicodedata.category(letter) != "Cf"
    )
    return " ".join(_WORD.findall(letters.replace("_", " ")))


def _set(text: str) -> frozenset[str]:
    return frozenset(folded(name) for name in text.split(","))


ADDRESS_NAMES: Final = _set(
    "email, e mail, mail, email address, e mail address, emailaddress, mail address, email id,"
    "user email, student email, learner email,"
    "courriel, adresse courriel, adresse e mail, adresse email, adresse mail,"
    "adresse electronique, mail adresse,"
    "correo, correo electronico, direccion de correo, direccion de correo electronico,"
    "e mail adresse, email adresse, emailadresse, mailadresse,"
    "e mailadres, emailadres, mailadres, e mail adres,"
    "adres e mail, adres email, adres mailowy, poczta elektroniczna,"
    "endereco de email, endereco de e mail, correio eletronico, correio electronico,"
    "indirizzo email, indirizzo e mail, posta elettronica"
)
"""Names of columns of e-mail addresses."""

USERNAME_NAMES: Final = _set(
    "identifier, username, user name, user, login, login id, login name, user principal name, upn,"
    "identifiant, nom d utilisateur, utilisateur,"
    "usuario, nombre de usuario, identificador,"
    "benutzername, benutzer, anmeldename, benutzerkennung, nutzername, nutzer,"
    "gebruikersnaam, gebruiker, inlognaam,"
    "nazwa uzytkownika, uzytkownik, identyfikator,"
    "nome de usuario, nome de utilizador, utilizador,"
    "nome utente, utente, identificatore"
)
"""Names of columns of usernames, or of either kind of identifier."""

PEOPLE_NAMES: Final = _set(
    "student, learner, participant, member, etudiant, apprenant, eleve, participante, estudiante,"
    "alumno, teilnehmer, teilnehmerin, lernende, cursist, deelnemer, uczestnik, kursant, aluno,"
    "estudante, studente, allievo, partecipante"
)
"""Names of columns that hold identifiers if no better column exists, or people's names."""

_ADDRESS_WORDS = _set("email, mail, courriel, correo, correio, poczta, posta")
_USERNAME_WORDS = _set(
    "login, username, upn, usuario, benutzername, anmeldename, gebruikersnaam, utilisateur, utente"
)
_OTHER_WORDS = _set(
    "last, date, time, sent, count, status, state, verified, confirmed, parent, parents, guardian,"
    "mother, father, emergency, manager, supervisor, teacher, instructor, advisor, tutor, mentor,"
    "secondary, alternate, alternative, second, other, backup, recovery, opt, consent, format,"
    "notification, notifications, type, url, subject, domain, body, template, created, first,"
    "dernier, derniere, ultimo, ultima, letzte, letzter, letzten, laatste, ostatni, ostatnie,"
    "eltern, padre, madre, padres, parente, tuteur, genitore, ouders, rodzic, pais, encarregado"
)
"""Words that show that a column is not of identifiers: Last Login, Parent Email."""


def is_address_name(words: str) -> bool:
    """Whether a folded header names a column of e-mail addresses."""
    return words in ADDRESS_NAMES or _is_named_for(words, _ADDRESS_WORDS)


def is_username_name(words: str) -> bool:
    """Whether a folded header names a column of usernames, or of either kind of identifier."""
    return words in USERNAME_NAMES or (
        not is_address_name(words)
        and (_is_named_for(words, _USERNAME_WORDS) or words.endswith("user name"))
    )


def is_id_name(words: str) -> bool:
    """Whether a folded header names a column of a system's own numbers, such as SIS User ID."""
    *before, last = words.split() or [""]
    return (last in {"id", "ids"} and {*before} <= _ID_WORDS) or words in _ID_NAMES


_ID_WORDS = _set(
    "sis, lms, canvas, moodle, user, users, student, learner, person, participant, member,"
    "employee, staff, external, global, unique, campus, university, school, national,"
    "integration, account"
)
_ID_NAMES = _set("userid, studentid, learnerid, uid, matricule, matrikelnummer, matricula")


def _is_named_for(words: str, kind: frozenset[str]) -> bool:
    some = words.split()
    return not _OTHER_WORDS & {*some} and any(
        word in kind or (kind is _ADDRESS_WORDS and _is_of_mail(word)) for word in some
    )


def _is_of_mail(word: str) -> bool:
    return word.endswith("mail") or word.startswith(("emailad", "mailad"))


COURSE_NAMES: Final = _set(
    "course id, course, course key, courseid, coursekey, courses, course run, course run id,"
    "course run key, course run identifier,"
    "cours, id du cours, id cours, identifiant du cours, identifiant cours, cle du cours,"
    "cle de cours, code du cours, session de cours,"
    "curso, id del curso, id curso, clave del curso, codigo del curso, identificador del curso,"
    "kurs, kurs id, kursid, kursschlussel, kurskennung, kurslauf,"
    "cursus, cursus id, cursusid, cursussleutel, cursuscode,"
    "id kursu, klucz kursu, identyfikator kursu, kod kursu,"
    "id do curso, chave do curso, codigo do curso, identificador do curso,"
    "corso, id del corso, id corso, chiave del corso, codice del corso, identificativo del corso"
)
_COURSE_WORDS = _set("course, courses, cours, curso, cursos, kurs, kurse, kursu, cursus, corso")


def is_course_name(words: str) -> bool:
    """Whether a folded header names a column of courses, though perhaps of titles, not keys."""
    return bool(_COURSE_WORDS & {*words.split()}) or words.startswith(("kurs", "cursus", "course"))


ACTION_NAMES: Final = _set(
    "action, actions, operation, accion, operacion, aktion, vorgang, actie, bewerking, akcja,"
    "czynnosc, operacja, acao, operacao, azione, operazione"
)
COHORT_NAMES: Final = _set(
    "cohort, cohort name, cohorte, nom de la cohorte, nombre de la cohorte, groupe, group, grupo,"
    "kohorte, gruppe, cohortnaam, groep, kohorta, grupa, coorte, gruppo"
)

ACTION_OF: Final[dict[str, Action]] = {
    folded(word): action
    for action, words in {
        Action.ENROLL: (
            "enroll, enrol, enrolled, enrollment, enrolment, add, added, register, registered,"
            "inscrire, inscription, inscrit, inscrite, ajouter,"
            "inscribir, inscripcion, inscrito, inscrita, matricular, alta, anadir, agregar,"
            "einschreiben, eingeschrieben, anmelden, angemeldet, hinzufugen,"
            "inschrijven, ingeschreven, aanmelden, aangemeld, toevoegen,"
            "zapisz, zapisac, zapisany, zapisana, dodaj,"
            "inscrever, adicionar, iscrivere, iscrivi, iscritto, iscritta, iscrizione, aggiungere"
        ),
        Action.UNENROLL: (
            "unenroll, unenrol, unenrolled, unenrollment, unenrolment, drop, dropped, remove,"
            "removed, withdraw, withdrawn, delete, deleted, unregister, unregistered,"
            "desinscrire, desinscription, desinscrit, desinscrite, retirer, supprimer,"
            "desinscribir, desmatricular, baja, dar de baja, retirar, eliminar, quitar,"
            "austragen, ausgetragen, abmelden, abgemeldet, ausschreiben, entfernen, loschen,"
            "uitschrijven, uitgeschreven, afmelden, afgemeld, verwijderen,"
            "wypisz, wypisac, wypisany, wypisana, usun,"
            "desinscrever, remover, excluir, disiscrivere, disiscrivi, rimuovere, eliminare"
        ),
    }.items()
    for word in words.split(",")
}

_THERE_WORDS = _set("active, enrolled, registered, attending")
_STATUS_WORDS = _set(
    "status, state, workflow, active, enabled, role, roles, type, statut, etat, actif, active,"
    "estado, rol, tipo, activo, zustand, rolle, typ, art, aktiv, toestand, actief, stan, rola,"
    "aktywny, situacao, papel, ativo, stato, ruolo, attivo"
)
"""Names of columns that may change what a row means."""

_YES_NO_WORDS = _set(
    "active, enabled, actif, activo, aktiv, actief, aktywny, ativo, attivo, actives"
)

GONE_WORDS: Final = _set(
    "deleted, dropped, withdrawn, withdrew, inactive, completed, concluded, removed, rejected,"
    "suspended, cancelled, canceled, expired, unenrolled, disabled, archived, waitlisted, waitlist,"
    "pending, invited, withdrawals, drops,"
    "supprime, supprimee, abandonne, abandon, retire, retiree, inactif, termine, desinscrit,"
    "desinscrits, eliminado, eliminada, retirado, retirada, baja, bajas, inactivo, inactiva,"
    "completado, finalizado,"
    "geloscht, abgemeldet, abgemeldete, abmeldungen, inaktiv, abgeschlossen, abgebrochen,"
    "verwijderd, uitgeschreven, inactief, afgerond,"
    "usuniety, usunieta, wycofany, wycofana, skreslony, nieaktywny, ukonczony,"
    "excluido, excluida, removido, desistente, trancado, inativo, concluido, cancelado,"
    "eliminato, ritirato, ritirata, inattivo, completato"
)
"""Words for a learner who is not to be enrolled, or no longer."""

ROLE_WORDS: Final = _set(
    "teacher, teachers, instructor, instructors, observer, ta, designer, staff, faculty, professor,"
    "lecturer, tutor, admin, administrator, presenter, organizer, organiser,"
    "enseignant, enseignante, professeur, formateur, formatrice, observateur,"
    "profesor, profesora, docente, observador, lehrer, lehrerin, lehrkraft, dozent, dozentin,"
    "lehrende, beobachter, docent, leraar, waarnemer, nauczyciel, prowadzacy, wykladowca,"
    "obserwator, insegnante, professore, osservatore"
)
"""Words for a person who is not a learner."""

NO_WORDS: Final = _set("no, n, false, f, 0, non, nein, nee, nie, nao, falso, falsch, faux, off")


def is_status_name(words: str) -> bool:
    """Whether a folded header names a column that may change what a row means."""
    return bool((_STATUS_WORDS | GONE_WORDS) & {*words.split()})


def changes_meaning(name: str, value: str) -> bool:
    """Whether a value in a column of this folded name says that the row is not to be enrolled."""
    words = folded(value)
    some = {*words.split()}
    if (GONE_WORDS | ROLE_WORDS) & some or ("not" in some and _THERE_WORDS & some):
        return True
    named = {*name.split()}
    if named & _YES_NO_WORDS:
        return words in NO_WORDS
    return bool(named & GONE_WORDS and words and words not in NO_WORDS)


PLACEHOLDERS: Final = frozenset(
    {"n/a", "na", "n.a.", "none", "null", "nil", "nan", "undefined", "unknown", "tbd", "tba", "?"}
    | {"-", "--", "---", "\u2013", "\u2014", "(blank)", "(none)", "(null)", "<na>", "nat", "/"}
)
"""What programs and people write for an empty value."""
