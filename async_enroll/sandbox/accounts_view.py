"""GET /api/user/v1/accounts (Open edX, openedx/core/djangoapps/user_api/accounts)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.access import Tokens, require_method
from async_enroll.sandbox.answers import json_answer
from async_enroll.sandbox.database import Database
from async_enroll.sandbox.exchange import Exchange


@frozen
class AccountsView:
    """The endpoint, for one ``email`` a request; it is not throttled.

    Of the many fields of an account, only those that name it. Addresses are told to
    global staff alone. Who asks for nobody is told of themselves.
    """

    database: Database
    tokens: Tokens

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal."""
        request = exchange.request
        caller = self.tokens.authenticate(request)
        require_method(request, "GET")
        email = request.query.get("email")
        if not email:
            return json_answer([{"username": caller.name}])
        user = self.database.user_at(email)
        if user is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        account = {"username": user.username}
        return json_answer([{**account, "email": user.email} if caller.staff else account])
