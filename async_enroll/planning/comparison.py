"""Compares a roster with the enrollments of one course. No I/O.

`jobs.diff` feeds the listing to a `CourseComparison` as it arrives, looks up the accounts that it
asks for, and takes a `CourseDiff`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import field, frozen

from async_enroll.models import Action, RosterEntry, identity_key, loose_key
from async_enroll.planning.batching import why_unsendable
from async_enroll.planning.desired import Assignment
from async_enroll.planning.protection import Protection
from async_enroll.platform.json import Account, Undated

_UNSEEN: Final = 0
_FORMER: Final = 1
_ACTIVE: Final = 2


@frozen
class CourseDiff:
    """How a roster and the enrollments of one course differ.

    Attributes:
        course_id: The course key.
        enrolled: The number of learners who are enrolled now.
        unchanged: The number of rows of the roster that are as asked.
        to_enroll: Rows whose learners have an account and are not enrolled.
        returning: Those of them whose learners were enrolled before.
        not_looked_up: Those of them whose accounts were not looked up, because there are too many
            or the site does not answer: these learners may have none.
        to_unenroll: Learners who are enrolled and not wanted, by username; by the roster's own
            spelling where it has a row to unenroll them.
        not_listed: Rows whose learners no listing shows: they have no account, or one that is not
            activated, or wait for registration.
        kept: Why learners stay enrolled who are not in the roster, by username.
        withheld: Why nobody is removed from this course; None where learners may be.

    """

    course_id: str
    enrolled: int
    unchanged: int
    to_enroll: tuple[RosterEntry, ...] = field(repr=False)
    returning: tuple[RosterEntry, ...] = field(repr=False)
    to_unenroll: tuple[RosterEntry, ...] = field(repr=False)
    not_listed: tuple[RosterEntry, ...] = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)
    withheld: str | None = None
    # Usernames by identifier, of `to_unenroll` that the roster has a row for.
    asked: Mapping[str, str] = field(factory=dict, repr=False)
    # Rows to unenroll whose learners are not enrolled.
    absent: frozenset[str] = field(default=frozenset(), repr=False)
    not_looked_up: tuple[RosterEntry, ...] = field(default=(), repr=False)
    # Rows to enroll that name a learner once more, by the other kind of identifier.
    repeated: frozenset[str] = field(default=frozenset(), repr=False)
    # Whether the roster has a row to enroll.
    desired: bool = field(default=True, repr=False)

    def removals(self, *, remove: bool) -> tuple[RosterEntry, ...]:
        """Whom a sync would unenroll, were it not withheld; without `remove`, those asked for."""
        if remove:
            return self.to_unenroll
        return tuple(entry for entry in self.to_unenroll if entry.identifier in self.asked)

    @property
    def withdrawals(self) -> tuple[RosterEntry, ...]:
        """Those of `not_listed` that are rows to unenroll: who waits will not be enrolled."""
        return tuple(entry for entry in self.not_listed if entry.action is Action.UNENROLL)


_Learner = tuple[str, str | None, str]
"""A learner who is enrolled and not wanted: username, e-mail address and mode."""


class CourseComparison:
    """The rows of a roster for one course, and what the listing says of them so far.

    `failed` is why the listing is not complete, once it has failed.
    """

    def __init__(self, course_id: str) -> None:
        self.course_id = course_id
        self.failed: str | None = None
        self._key = identity_key(course_id)
        self._identifiers: list[str] = []
        self._assignments: list[Assignment] = []
        # By identity key, in the order of the two lists.
        self._states: dict[str, int] = {}
        self._absent: dict[str, str] = {}
        self._absent_seen: set[str] = set()
        self._absent_loose: set[str] = set()
        self._alike: set[str] = set()
        """Loose keys of rows to unenroll, and of learners who are enrolled."""
        self._loose: set[str] = set()
        self._matched = 0
        """How many learners are enrolled and wanted."""
        self._others: dict[str, _Learner] = {}
        """By identity key of the username."""
        self._asked: dict[str, str] = {}
        """How the roster spells those of them whom it lists to be unenrolled."""
        self._former: dict[str, str] = {}
        """The usernames of wanted learners who were enrolled, by identity key."""
        self._former_others: set[str] = set()
        self._claimed: set[str] = set()
        self._waiting: set[str] = set()
        self._not_looked_up: set[str] = set()
        self._contradicted: set[str] = set()
        self._absent_waiting: dict[str, str | None] = {}
        """Rows to unenroll who may wait, each with the username of its account, if it has one."""
        self._doubted: set[str] = set()
        """Those of them that have no account, says a site that has not found anybody."""
        self._has_unaddressed = False
        """Whether somebody is enrolled whose address the listing does not have."""
        self._repeated: set[str] = set()
        self._kept: dict[str, str] = {}

    def add(self, assignment: Assignment, identifiers: Iterable[str]) -> None:
        """Add rows of the roster. All have to be there before the first record."""
        if assignment.action is Action.UNENROLL:
            for identifier in identifiers:
                self._absent[identity_key(identifier)] = identifier
                self._absent_loose.add(loose_key(identifier))
            return
        states, added = self._states, self._identifiers
        for identifier in identifiers:
            if identifier.isascii():
                key = identifier.lower()
            else:
                key = identity_key(identifier)
                self._loose.add(loose_key(key))  # else both keys are the same
            if key not in states:
                states[identifier if key == identifier else key] = _UNSEEN
                added.append(identifier)
        self._assignments += [assignment] * (len(added) - len(self._assignments))

    def feed(self, records: Iterable[Undated]) -> None:
        """Take records of the listing; those of other courses are ignored."""
        states, absent, course_id = self._states, self._absent, self.course_id
        get = states.get
        for record in records:
            if record.course_id != course_id and identity_key(record.course_id) != self._key:
                continue
            # Most names are their own keys: looking them up first saves making these.
            name, address = record.username, record.email or ""
            by_name, by_address = get(name), get(address)
            if by_name is None:
                key = name.lower() if name.isascii() else identity_key(name)
                if key != name:
                    name, by_name = key, get(key)
            if by_address is None and address:
                key = address.lower() if address.isascii() else identity_key(address)
                if key != address:
                    address, by_address = key, get(key)
            if absent and record.is_active:
                self._alike.update(self._absent_loose.intersection(map(loose_key, (name, address))))
            if by_name is None and by_address is None:
                self._feed_other(record, name, address)
            elif record.is_active:
                if by_name != _ACTIVE and by_address != _ACTIVE:  # else it is listed twice
                    self._matched += 1
                if not address:
                    self._has_unaddressed = True
                if by_name is not None:
                    states[name] = _ACTIVE
                if by_address is not None:
                    states[address] = _ACTIVE
                if absent and not absent.keys().isdisjoint((name, address)):
                    self._contradict(record.username, name, address)
            else:
                for key, state in ((name, by_name), (address, by_address)):
                    if state == _UNSEEN:
                        states[key] = _FORMER
                        self._former[key] = record.username

    def _feed_other(self, record: Undated, name: str, address: str) -> None:
        """Take the record of somebody who is not wanted, as far as the record tells."""
        username = record.username
        if self._absent:
            self._absent_seen.update(key for key in (name, address) if key in self._absent)
        if record.is_active:
            key = username if name == username else name  # saves memory
            self._others[key] = (username, record.email or None, record.mode)
            if asked := self._absent.get(name) or self._absent.get(address):
                self._asked[key] = asked
        elif not address:
            self._former_others.add(name)

    def _contradict(self, username: str, *keys: str) -> None:
        """Keep a learner whom the roster wants by one identifier, and does not by the other."""
        self._absent_seen.update(keys)
        self._contradicted.update(keys)
        self._kept[username] = "is in the roster also to be enrolled"

    @property
    def has_unknown_addresses(self) -> bool:
        """Whether somebody might be removed whose address the listing does not have.

        That is whoever is not wanted, or anybody by a row to unenroll an address.
        """
        if self._has_unaddressed_others:
            return True
        return self._has_unaddressed and any(
            "@" in key and key not in self._absent_seen for key in self._absent
        )

    @property
    def _has_unaddressed_others(self) -> bool:
        return any(email is None for _, email, _ in self._others.values())

    def unseen(self) -> Iterator[str]:
        """Identifiers whose accounts have to be known to tell what becomes of them."""
        for identifier, state in zip(self._identifiers, self._states.values(), strict=True):
            if state == _UNSEEN:
                yield identifier
        yield from (username for username in self._former.values() if "@" not in username)
        yield from (who for key, who in self._absent.items() if key not in self._absent_seen)

    def resolve(self, accounts: Mapping[str, Account | None]) -> None:
        """Take the accounts of those `unseen`, by identity key: None for no account.

        Without an entry it is not known whether there is one.
        """
        owners: dict[str, str] = {}
        rows = zip(self._identifiers, self._states, self._states.values(), strict=True)
        for identifier, key in [(who, key) for who, key, state in rows if state != _ACTIVE]:
            state = self._states[key]
            if state == _UNSEEN and (account := accounts.get(key)) is not None:
                state = self._states[key] = self._state_of(key, account)
            elif state == _FORMER:
                username = self._former[key]
                account = accounts.get(identity_key(username), Account(username))
            elif state == _UNSEEN and key in accounts:
                account = None
            else:
                if state == _UNSEEN:
                    self._not_looked_up.add(key)
                continue
            if state == _ACTIVE:
                continue
            if account is None or account.is_active is False:
                self._waiting.add(key)
            if account and owners.setdefault(identity_key(account.username), key) != key:
                self._repeated.add(identifier)
        # A site that finds others by their addresses is believed where it finds nobody.
        believed = any(account for key, account in accounts.items() if "@" in key)
        for key, identifier in self._absent.items():
            if key not in self._absent_seen:
                self._resolve_absent(key, identifier, accounts)
                if not believed and key in accounts and accounts[key] is None:
                    self._doubted.add(identifier)

    def _state_of(self, key: str, account: Account) -> int:
        """The state of a wanted account, whose enrollment is listed by the other identifier."""
        name = identity_key(account.username)
        address = identity_key(account.email) if account.email else ""
        self._loose.add(loose_key(account.username))
        learner = self._others.pop(name, None)
        if learner is not None:
            self._matched += 1
            self._claimed.add(name)
            self._asked.pop(name, None)
            if key not in (name, address or key):  # to the platform it is one, but not to us
                self._kept[learner[0]] = _LOOSELY
            return _ACTIVE
        if name in self._claimed:
            return _ACTIVE
        for other in (name, address):
            state = self._states.get(other, _UNSEEN)
            if state == _FORMER:
                self._former[key] = self._former[other]
            if state != _UNSEEN:
                return state
        if name in self._former_others:
            self._former[key] = account.username
            return _FORMER
        return _UNSEEN

    def _resolve_absent(
        self, key: str, identifier: str, accounts: Mapping[str, Account | None]
    ) -> None:
        account = accounts.get(key)
        if account is None:
            if "@" in identifier:  # nobody waits for registration under a username
                self._absent_waiting[identifier] = None
            return
        name = identity_key(account.username)
        address = identity_key(account.email) if account.email else ""
        if name in self._others:
            self._asked[name] = identifier
        elif name in self._claimed or _ACTIVE in map(self._states.get, (name, address)):
            self._contradict(account.username, key)
        elif account.is_active is False:
            if name in self._states or address in self._states:
                self._contradict(account.username, key)
            else:
                self._absent_waiting[identifier] = account.username

    def result(self, protection: Protection, withheld: str | None = None) -> CourseDiff:
        """What differs, now that the listing and the accounts are known."""
        to_enroll: list[RosterEntry] = []
        returning: list[RosterEntry] = []
        not_looked_up: list[RosterEntry] = []
        not_listed: list[RosterEntry] = []
        unchanged = 0
        rows = zip(
            self._identifiers, self._assignments, self._states, self._states.values(), strict=True
        )
        for identifier, assignment, key, state in rows:
            if state == _ACTIVE:
                unchanged += 1
                continue
            entry = RosterEntry(identifier, self.course_id, Action.ENROLL, assignment.cohort)
            if key in self._waiting:
                not_listed.append(entry)
                continue
            to_enroll.append(entry)
            if state == _FORMER:
                returning.append(entry)
            elif key in self._not_looked_up:
                not_looked_up.append(entry)
        to_unenroll: list[RosterEntry] = []
        kept, asked = dict(self._kept), self._asked_unread()
        for key, (username, email, mode) in self._others.items():
            if why := self._why_kept(protection, mode, username, email):
                kept[username] = why
            elif row := self._asked.get(key):
                asked[row] = username
            else:
                who = _sendable(username, email)
                to_unenroll.append(RosterEntry(who, self.course_id, Action.UNENROLL))
        alike = self._loosely_enrolled()
        kept.update(dict.fromkeys(alike, _LOOSELY_ENROLLED))
        someone_unaddressed = self._has_unaddressed or self._has_unaddressed_others
        for identifier, owner in self._absent_waiting.items():
            if identifier in alike:
                continue
            if why := self._why_kept(protection, "audit", owner or identifier, identifier):
                kept[identifier] = why
            elif identifier in self._doubted and someone_unaddressed:
                kept[identifier] = _MAYBE_ENROLLED
            else:
                not_listed.append(RosterEntry(identifier, self.course_id, Action.UNENROLL))
        rows_open = {*alike, *self._absent_waiting, *self._asked.values()}
        rows_open.update(self._absent[key] for key in self._contradicted if key in self._absent)
        absent = {who for who in self._absent.values() if who not in rows_open and who not in asked}
        to_unenroll += [RosterEntry(who, self.course_id, Action.UNENROLL) for who in asked]
        return CourseDiff(
            self.course_id,
            self._matched + len(self._others),
            unchanged + len(absent),
            tuple(to_enroll),
            tuple(returning),
            tuple(to_unenroll),
            tuple(not_listed),
            kept,
            withheld,
            asked,
            frozenset(absent),
            tuple(not_looked_up),
            frozenset(self._repeated),
            bool(self._identifiers),
        )

    def _loosely_enrolled(self) -> set[str]:
        """Rows to unenroll who may be learners whom the listing spells in another way."""
        if self.failed is not None:
            return set()  # they are in `_asked_unread`
        known = {*self._absent_seen, *self._contradicted}
        rows = {
            identifier
            for key, identifier in self._absent.items()
            if key not in known and loose_key(identifier) in self._alike
        }
        return rows.difference(self._asked.values())

    def _asked_unread(self) -> dict[str, str]:
        """Rows to unenroll whose learners may be in the part of a listing that has failed."""
        if self.failed is None:
            return {}
        return {who: who for key, who in self._absent.items() if key not in self._absent_seen}

    def _why_kept(
        self, protection: Protection, mode: str, username: str, email: str | None
    ) -> str | None:
        name, address = loose_key(username), loose_key(email or username)
        states, loose = self._states, self._loose
        if name in states or address in states or name in loose or address in loose:
            return _LOOSELY
        return protection.why_kept(name, address, mode)


_LOOSELY: Final = "may be a learner of the roster: their names differ in accents or in form only"


_LOOSELY_ENROLLED: Final = (
    "may be enrolled: the name of a learner differs from it in accents or in form only"
)
_MAYBE_ENROLLED: Final = (
    "may be enrolled, in whatever mode: the site found nobody by an address, and the list of "
    "enrollments does not tell the addresses of all"
)


def _sendable(username: str, email: str | None) -> str:
    """The identifier to unenroll a learner by."""
    if username.isidentifier():
        return username
    # A username with an @ may be somebody else's address.
    return email if email and ("@" in username or why_unsendable(username)) else username
