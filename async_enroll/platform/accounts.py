"""The accounts endpoint: usernames by e-mail address, and e-mail addresses by username.

Used by both listings: `platform.so2_listing` to find learners by address, and
`platform.core_listing` for that and to add addresses to its records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from urllib.parse import quote

import anyio
from attrs import field, frozen
from yarl import URL

from async_enroll.errors import (
    ConfigurationError,
    EnrollError,
    PermissionDenied,
    PlatformError,
    UnexpectedResponse,
)
from async_enroll.http.answer import Answer
from async_enroll.http.failures import FailureKind, classify
from async_enroll.http.renewal import renewed
from async_enroll.http.transport import Transport
from async_enroll.models import identity_key
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.json import Account, accounts, own_username

ACCOUNTS = "api/user/v1/accounts"
ME = "api/user/v1/me"

_FEW = 5
"""Up to this many learners are looked up one by one, rather than by reading whole courses."""

_MOST_USERNAMES = 100
_LONGEST_QUERY = 4096  # bytes; web servers take 8 KiB for the whole head of a request


class Accounts:
    """Client of a site's accounts endpoint.

    Its requests do not count in the request window; `slots` bounds their number. Nothing is
    cached, since accounts appear, disappear and change their addresses. Source:
    openedx/core/djangoapps/user_api/accounts.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: RequestSlots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots
        self._finding = anyio.Lock()
        self._discloses_addresses: bool | None = None

    @property
    def concurrency(self) -> int:
        """How many requests can be under way at once."""
        return self._slots.count

    async def username(self, address: str) -> str | None:
        """The username of an e-mail address; None if no account has it.

        Raises:
            EnrollError: if the site does not disclose it, or the request fails.

        """
        found = await self._ask(email=address)
        if found is None:
            return None
        # An older platform ignores this filter and returns the token's own user.
        matches = [account for account in found if _has_address(account, address)]
        if len(matches) != 1 or len(found) != 1:
            raise UnexpectedResponse("expected the one account that has the address")
        return matches[0].username

    async def exists(self, username: str) -> bool:
        """Whether there is an account of that name.

        Raises:
            EnrollError: if the site does not disclose it, or the request fails.

        """
        found = await self._ask(username=username)
        if found is None:
            return False
        # An older platform ignores this filter and returns the token's own user.
        if identity_key(username) not in {identity_key(account.username) for account in found}:
            raise UnexpectedResponse("expected the account of that name, or none")
        return True

    async def own(self) -> str:
        """The username of the token's own user.

        Raises:
            EnrollError: if the site does not tell, or the request fails.

        """
        answer = await self._get(self._transport.site / ME)
        if answer is None:
            raise UnexpectedResponse("the site does not know the token's user")
        return own_username(answer.body)

    async def at(self, address: str) -> list[Account]:
        """The accounts that the site finds for an address, unverified; empty if it has none."""
        return await self._ask(email=address) or []

    async def called(self, usernames: Iterable[str]) -> list[Account]:
        """The accounts that the site finds for up to 100 usernames, unverified."""
        return await self._ask(username=",".join(usernames)) or []

    async def addresses(self, usernames: Iterable[str]) -> dict[str, str]:
        """The e-mail addresses of accounts by username; one request per 100 usernames.

        Accounts that no longer exist are absent. If the first answer shows that the site
        discloses no addresses to this token, the result is empty, and later calls send nothing.

        Raises:
            EnrollError: if the request fails, or the site disclosed addresses before and now
                refuses.

        """
        email_of: dict[str, str] = {}
        for some in groups(usernames):
            async with self._finding if self._discloses_addresses is None else nullcontext():
                email_of.update(await self._addresses(some))
        return email_of

    async def _addresses(self, usernames: list[str]) -> dict[str, str]:
        if self._discloses_addresses is False:
            return {}
        try:
            found = await self._ask(username=",".join(usernames))
        except EnrollError as error:
            if self._discloses_addresses or not _is_lasting(error):
                raise
            self._discloses_addresses = False
            return {}
        # An older platform ignores this filter and returns the token's own user.
        email_of = {one.username: one.email for one in found or () if one.username in usernames}
        if found and not self._discloses_addresses:
            self._discloses_addresses = any(email is not None for email in email_of.values())
        return {username: email for username, email in email_of.items() if email}

    async def _ask(self, **filters: str) -> list[Account] | None:
        """The accounts that match `filters`; None if there is none."""
        answer = await self._get((self._transport.site / ACCOUNTS).with_query(filters))
        return None if answer is None else accounts(answer.body)

    async def _get(self, url: URL) -> Answer | None:
        refusals = self._throttle.refusals()
        while True:
            async with self._slots.slot():
                await self._throttle.unheld()
                answer = await self._transport.call("GET", url)
                if not answer.ok and await renewed(self._transport, answer):
                    answer = await self._transport.call("GET", url)
            if answer.ok:
                return answer
            if _is_no_account(answer):
                return None
            failure = classify(answer)
            if failure.kind is not FailureKind.THROTTLED or not refusals.again():
                raise failure.error
            self._throttle.hold(failure.retry_after)


async def token_username(transport: Transport) -> str | None:
    """The username of the token's own user; None if the site does not tell it."""
    try:
        answer = await transport.call("GET", transport.site / ME)
        return own_username(answer.body) if answer.ok else None
    except EnrollError:
        return None


def _has_address(account: Account, address: str) -> bool:
    return account.email is not None and identity_key(account.email) == identity_key(address)


def _is_no_account(answer: Answer) -> bool:
    """Whether the endpoint exists, but the account does not.

    The platform answers 404 without a body, or with an `error_msg` for a retired account.
    """
    return answer.status == 404 and (not answer.body or b'"error_msg"' in answer.body)


def _is_lasting(error: EnrollError) -> bool:
    """Whether a site that fails like this will not disclose addresses later either."""
    if isinstance(error, PlatformError):
        return error.status <= 500 and error.status not in (408, 429)
    # A ConfigurationError is a redirect, for instance to a login page.
    return isinstance(error, ConfigurationError | PermissionDenied | UnexpectedResponse)


def groups(usernames: Iterable[str]) -> Iterator[list[str]]:
    """Divide distinct usernames into groups that fit into one request each."""
    group: list[str] = []
    size = 0
    for username in dict.fromkeys(usernames):
        length = len(quote(username)) + 1
        if group and (len(group) == _MOST_USERNAMES or size + length > _LONGEST_QUERY):
            yield group
            group, size = [], 0
        group.append(username)
        size += length
    if group:
        yield group


class Usernames:
    """Cache of the usernames of one lookup's addresses: each is requested once."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: dict[str, str | None] = {}
        self._lock = anyio.Lock()
        self._available = True

    async def of(self, addresses: Iterable[str]) -> dict[str, str | None]:
        """The usernames of addresses, by `identity_key`; None for one without an account.

        Addresses whose usernames the site does not disclose are absent.
        """
        keys = {identity_key(address): address for address in addresses}
        async with self._lock:  # concurrent queries look up the same learners in several courses
            await self._ask({key: keys[key] for key in keys if key not in self._known})
        return {key: self._known[key] for key in keys if key in self._known}

    async def _ask(self, keys: dict[str, str]) -> None:
        left = iter(keys.items())

        async def ask() -> None:
            while self._available and (item := next(left, None)):
                key, address = item
                try:
                    self._known[key] = await self._accounts.username(address)
                except EnrollError:
                    # Further requests would fail, too. Those under way are answered all the same:
                    # what is known must not depend on which answer comes first.
                    self._available = False

        async with anyio.create_task_group() as asking:
            for _ in range(min(self._accounts.concurrency, len(keys))):
                asking.start_soon(ask)


@frozen
class Lookup:
    """A search for the records of some learners in some courses.

    `identifiers` are e-mail addresses and usernames. The listing adds to `omitted`, by
    `identity_key`, those whose records it cannot find.
    """

    courses: tuple[str, ...]
    identifiers: tuple[str, ...]
    usernames: Usernames
    omitted: set[str] = field(factory=set, eq=False)

    @property
    def is_of_few(self) -> bool:
        """Whether it is cheaper to read each learner's records than each course's."""
        return len(self.identifiers) <= max(_FEW, len(self.courses))


def lookups(asked: Mapping[str, Collection[str]], usernames: Usernames) -> list[Lookup]:
    """The lookups for learners by course key: one for all if they are few, else one a course."""
    most = max(_FEW, len(asked))
    everybody: dict[str, str] = {}
    for some in asked.values():
        if len(some) > most or len(everybody) > most:
            break
        everybody.update((identity_key(identifier), identifier) for identifier in some)
    else:
        if len(everybody) <= most:
            return [Lookup(tuple(asked), tuple(everybody.values()), usernames)]
    return [Lookup((course_id,), tuple(some), usernames) for course_id, some in asked.items()]
