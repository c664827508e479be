"""GET /api/user/v1/accounts and /me (Open edX, openedx/core/djangoapps/user_api/accounts)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.http.answers import json_answer
from async_enroll.sandbox.http.exchange import Exchange
from async_enroll.sandbox.storage.database import Database

_RETIRED = "This email is associated to a retired account."


@frozen
class AccountsView:
    """The endpoints, not throttled: one ``email`` a request, or several ``username``.

    Of the fields of an account, only its names are included. Addresses are visible to global staff
    if `tells_addresses`: whether real sites show them is not verified. Unknown usernames are left
    out; a request without names returns the caller's own account.
    """

    database: Database
    tells_addresses: bool

    async def accounts(self, exchange: Exchange) -> web.Response:
        """Answer a request for accounts."""
        query, caller = exchange.request.query, exchange.caller
        if names := query.get("username"):
            users = [self.database.user_called(name) for name in names.strip(",").split(",")]
        elif email := query.get("email"):
            if self.database.is_retired(email):
                return json_answer({"error_msg": _RETIRED}, status=HTTPStatus.NOT_FOUND)
            users = [self.database.user_at(email)]
        else:
            return json_answer([{"username": caller.name}])
        found = list(dict.fromkeys(filter(None, users)))
        if not found:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        tells = caller.staff and self.tells_addresses
        return json_answer(
            [
                {"username": user.username, **({"email": user.email} if tells else {})}
                for user in found
            ]
        )

    async def me(self, exchange: Exchange) -> web.Response:
        """Answer a request for the caller's own username."""
        return json_answer({"username": exchange.caller.name})
