"""Who is looked for, and the usernames behind their addresses."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from attrs import frozen

from async_enroll.errors import EnrollError, NoSuchEndpoint
from async_enroll.identity import identity_key
from async_enroll.renewal import renewed
from async_enroll.slots import Slots
from async_enroll.throttle import Throttle
from async_enroll.transport import Answer, Transport
from async_enroll.verdict import Meaning, classify
from async_enroll.wire import account

ACCOUNTS = "api/user/v1/accounts"


class Accounts:
    """The usernames behind addresses, each address asked about once.

    The platform tells one a request (openedx/core/djangoapps/user_api/accounts), outside of
    the request window; `slots` bounds these requests.
    """

    def __init__(self, transport: Transport, throttle: Throttle, slots: Slots) -> None:
        self._transport = transport
        self._throttle = throttle
        self._slots = slots
        self._known: dict[str, str | None] = {}
        self._line = anyio.Lock()

    async def usernames(self, addresses: Iterable[str]) -> dict[str, str]:
        """The username of each address that is known to have one.

        An address that lacks has no account, or had none when it was first asked about, or
        could not be asked about.
        """
        addresses = list(addresses)
        async with self._line:  # several courses are asked about at once, for the same learners
            await self._ask({identity_key(one): one for one in addresses}.values())
        found = {address: self._known.get(identity_key(address)) for address in addresses}
        return {address: username for address, username in found.items() if username}

    async def _ask(self, addresses: Iterable[str]) -> None:
        async def ask(address: str) -> None:
            try:
                async with self._slots.slot():
                    self._known[identity_key(address)] = await self._username(address)
            except EnrollError:
                asking.cancel_scope.cancel()  # the others would fare no better

        async with anyio.create_task_group() as asking:
            for address in addresses:
                if identity_key(address) not in self._known:
                    asking.start_soon(ask, address)

    async def _username(self, address: str) -> str | None:
        url = (self._transport.site / ACCOUNTS).with_query(email=address)
        await self._throttle.unheld()
        answer = await self._transport.call("GET", url)
        if not answer.ok and await renewed(self._transport, answer):
            answer = await self._transport.call("GET", url)
        if answer.ok:
            found = account(answer.body)
            # An older platform knows no such filter, and tells of the token's own user.
            is_asked_for = found.email is not None and identity_key(found.email) == identity_key(
                address
            )
            return found.username if is_asked_for else None
        failure = classify(answer)
        if _is_nobody(answer):
            return None
        if failure.meaning is Meaning.THROTTLED:
            self._throttle.hold(failure.retry_after)
        raise failure.error


def _is_nobody(answer: Answer) -> bool:
    """Whether there is no such account: a 404 without a page, as there is the endpoint."""
    failure = classify(answer)
    absent = isinstance(failure.error, NoSuchEndpoint) and not answer.body
    return absent or failure.meaning is Meaning.MISSING


@frozen
class Lookup:
    """Some learners, by addresses and usernames, who are looked for in a course."""

    course_id: str
    identifiers: tuple[str, ...]
    accounts: Accounts
