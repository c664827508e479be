"""Looks up the accounts of many identifiers: their usernames, and whether they are activated.

`jobs.diff` asks it about learners whom a listing does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import anyio
from attrs import define, field

from async_enroll.errors import (
    ConfigurationError,
    EnrollError,
    PermissionDenied,
    PlatformError,
    UnexpectedResponse,
)
from async_enroll.models import identity_key, loose_key
from async_enroll.platform.accounts import Accounts, groups
from async_enroll.platform.json import Account

_MOST_FAILURES = 20

MOST_ADDRESSES = 20_000
"""How many addresses are looked up, each with a request of its own: minutes, not hours."""


@define
class FoundAccounts:
    """What became of look-ups, by `identity_key`.

    `known` has the accounts, None for an identifier without one. `failed` has those whose look-up
    failed or was not made after that, `error` the first failure. `left_out` has the addresses that
    were too many. `available`: whether the site answers look-ups at all.
    """

    known: dict[str, Account | None] = field(factory=dict)
    failed: set[str] = field(factory=set)
    left_out: set[str] = field(factory=set)
    error: EnrollError | None = None
    available: bool = True

    @property
    def why(self) -> str:
        """Why some are not known, in words."""
        if self.error:
            return str(self.error)
        return f"too many addresses; at most {MOST_ADDRESSES:,} are looked up"


async def look_up(
    accounts: Accounts, identifiers: Iterable[str], own: str | None, *, concurrency: int
) -> FoundAccounts:
    """Look up accounts: addresses one by one, the first 20,000; 100 usernames at a time.

    `own` is the token's own username, None where it is not known: an older platform ignores the
    filters, and tells of that user. Failures do not raise. Once one shows that the site answers no
    look-ups, or many have failed, no others are made.
    """
    found = FoundAccounts()
    failures = 0
    by_key = {identity_key(identifier): identifier for identifier in identifiers}
    addresses = {key: who for key, who in by_key.items() if "@" in who}
    for key in list(islice(addresses, MOST_ADDRESSES, None)):
        del addresses[key]
        found.left_out.add(key)
    names = {key: who for key, who in by_key.items() if "@" not in who}
    pending: Iterator[list[str]] = iter(
        [*([one] for one in addresses.values()), *groups(names.values())]
    )

    async def work() -> None:
        nonlocal failures
        for some in pending:
            keys = list(map(identity_key, some))
            if not found.available or failures == _MOST_FAILURES:
                found.failed.update(keys)
                continue
            try:
                if keys[0] in addresses:
                    found.known[keys[0]] = await _at(accounts, some[0], own)
                else:
                    found.known |= await _called(accounts, some)
            except EnrollError as error:
                failures += 1
                found.failed.update(keys)
                found.error = found.error or error
                if _is_unavailable(error):
                    found.available = False

    async with anyio.create_task_group() as working:
        for _ in range(concurrency):
            working.start_soon(work)
    return found


def _is_unavailable(error: EnrollError) -> bool:
    """Whether a site that fails like this answers no look-ups at all."""
    if isinstance(error, PlatformError):
        return error.status < 500 and error.status not in (408, 429)
    # A ConfigurationError is a redirect, for instance to a login page.
    return isinstance(error, ConfigurationError | PermissionDenied | UnexpectedResponse)


async def _at(accounts: Accounts, address: str, own: str | None) -> Account | None:
    found = await accounts.at(address)
    if not found:
        return None
    account = found[0]
    if account.email is not None:
        meant = loose_key(account.email) == loose_key(address)
    else:
        meant = own is not None and account.username != own
    if len(found) > 1 or not meant:
        raise UnexpectedResponse("expected the one account that has the address")
    return account


async def _called(accounts: Accounts, usernames: list[str]) -> dict[str, Account | None]:
    found = {loose_key(account.username): account for account in await accounts.called(usernames)}
    if found.keys() - set(map(loose_key, usernames)):
        raise UnexpectedResponse("expected accounts that have the usernames")
    return {identity_key(username): found.get(loose_key(username)) for username in usernames}
