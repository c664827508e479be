"""Who is behind an address, and which address an account has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from urllib.parse import quote

import anyio
from attrs import frozen

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
from async_enroll.platform.json import Account, accounts

ACCOUNTS = "api/user/v1/accounts"

_FEW = 5
"""How many learners are looked for one by one rather than in all of one course."""

_MOST_USERNAMES = 100
_LONGEST_QUERY = 4096  # bytes; web servers take 8 KiB for the whole head of a request


class Accounts:
    """A site's accounts, outside of the request window; `slots` bounds the requests.

    Accounts come, go and change their addresses: nothing is remembered of anybody. Source:
    openedx/core/djangoapps/user_api/accounts.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: RequestSlots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots
        self._finding = anyio.Lock()
        self._tells_addresses: bool | None = None

    async def username(self, address: str) -> str | None:
        """The username behind an address; None where it has no account.

        Raises:
            EnrollError: where the site does not tell.

        """
        found = await self._ask(email=address)
        if found is None:
            return None
        # An older platform knows no such filter, and tells of the token's own user.
        asked_for = [one for one in found if _is_at(one, address)]
        if len(asked_for) != 1 or len(found) != 1:
            raise UnexpectedResponse("expected the one account that has the address")
        return asked_for[0].username

    async def addresses(self, usernames: Iterable[str]) -> dict[str, str]:
        """The addresses of accounts, by username, asked for a hundred at a time.

        An account lacks that is gone; all do where the site tells this token no addresses,
        which the first answer shows, for as long as this lives.

        Raises:
            EnrollError: where the site cannot be asked, or told before and does no more.

        """
        told: dict[str, str] = {}
        for some in _groups(usernames):
            async with self._finding if self._tells_addresses is None else nullcontext():
                told.update(await self._addresses(some))
        return told

    async def _addresses(self, usernames: list[str]) -> dict[str, str]:
        if self._tells_addresses is False:
            return {}
        try:
            found = await self._ask(username=",".join(usernames))
        except EnrollError as error:
            if self._tells_addresses or not _is_lasting(error):
                raise
            self._tells_addresses = False
            return {}
        # An older platform knows no such filter, and tells of the token's own user.
        email_of = {one.username: one.email for one in found or () if one.username in usernames}
        if found and not self._tells_addresses:
            self._tells_addresses = any(email is not None for email in email_of.values())
        return {username: email for username, email in email_of.items() if email}

    async def _ask(self, **whom: str) -> list[Account] | None:
        """The accounts that are asked for; None where there is none."""
        url = (self._transport.site / ACCOUNTS).with_query(whom)
        refusals = self._throttle.refusals()
        while True:
            async with self._slots.slot():
                await self._throttle.unheld()
                answer = await self._transport.call("GET", url)
                if not answer.ok and await renewed(self._transport, answer):
                    answer = await self._transport.call("GET", url)
            if answer.ok:
                return accounts(answer.body)
            if _is_nobody(answer):
                return None
            failure = classify(answer)
            if failure.kind is not FailureKind.THROTTLED or not refusals.again():
                raise failure.error
            self._throttle.hold(failure.retry_after)


def _is_at(account: Account, address: str) -> bool:
    return account.email is not None and identity_key(account.email) == identity_key(address)


def _is_nobody(answer: Answer) -> bool:
    """Whether the endpoint is there, and the account is not.

    A 404 without a body; of one whose owner has asked to be retired, with an `error_msg`.
    """
    return answer.status == 404 and (not answer.body or b'"error_msg"' in answer.body)


def _is_lasting(error: EnrollError) -> bool:
    """Whether a site that answers so will not tell later either."""
    if isinstance(error, PlatformError):
        return error.status <= 500 and error.status not in (408, 429)
    # A ConfigurationError is a redirect, as to a login.
    return isinstance(error, ConfigurationError | PermissionDenied | UnexpectedResponse)


def _groups(usernames: Iterable[str]) -> Iterator[list[str]]:
    """Usernames in groups that one request can name."""
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
    """The usernames behind the addresses of one lookup, each asked about once."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: dict[str, str | None] = {}
        self._line = anyio.Lock()
        self._told = True

    async def of(self, addresses: Iterable[str]) -> dict[str, str | None]:
        """The username of each address, by `identity_key`; None where it has no account.

        An address lacks of which the site does not tell.
        """
        keys = {identity_key(address): address for address in addresses}
        async with self._line:  # several courses are asked about at once, for the same learners
            await self._ask({key: keys[key] for key in keys if key not in self._known})
        return {key: self._known[key] for key in keys if key in self._known}

    async def _ask(self, keys: dict[str, str]) -> None:
        async def ask(key: str, address: str) -> None:
            try:
                self._known[key] = await self._accounts.username(address)
            except EnrollError:
                self._told = False  # the others would fare no better
                asking.cancel_scope.cancel()

        async with anyio.create_task_group() as asking:
            for key, address in keys.items() if self._told else ():
                asking.start_soon(ask, key, address)


@frozen
class Lookup:
    """Some learners, by addresses and usernames, who are looked for in some courses."""

    courses: tuple[str, ...]
    identifiers: tuple[str, ...]
    usernames: Usernames

    @property
    def is_of_few(self) -> bool:
        """Whether to look through all courses of each learner costs less than the reverse."""
        return len(self.identifiers) <= max(_FEW, len(self.courses))
