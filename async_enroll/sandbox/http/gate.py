"""The checks before every view of Django REST framework, in the framework's order."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.http.access import (
    Caller,
    Tokens,
    require_method,
    require_staff,
    require_window,
)
from async_enroll.sandbox.http.answers import Refusal, json_answer, refusal_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange
from async_enroll.sandbox.http.throttle import Throttle


@frozen
class Gate:
    """Accept, token, permission, throttle, method: each may refuse (cases "no token", …).

    So a request refused for Accept, token or permission is not counted in the window; one refused
    for its method is. `throttle` None does not throttle; `staff_only` requires global staff. `name`
    is that of the view, `method` the one it answers besides OPTIONS; HEAD goes with GET.
    """

    tokens: Tokens
    throttle: Throttle | None
    name: str
    method: str
    staff_only: bool = True

    @property
    def allowed(self) -> str:
        """The Allow header, which every answer has."""
        return f"{'GET, HEAD' if self.method == 'GET' else self.method}, OPTIONS"

    def before(self, endpoint: Endpoint[web.Response]) -> Endpoint[web.Response]:
        """Return `endpoint` behind these checks; its exchange then has the caller."""

        async def answer(exchange: Exchange) -> web.Response:
            try:
                exchange.caller = self._admitted(exchange.request)
                if exchange.request.method == "OPTIONS":
                    response = json_answer(self._description())
                else:
                    response = await endpoint(exchange)
            except Refusal as refusal:
                response = refusal_answer(refusal)
            response.headers["Allow"] = self.allowed
            return response

        return answer

    def _admitted(self, request: web.BaseRequest) -> Caller:
        if not _takes_json(request.headers.get("Accept", "*/*")):
            detail = "Could not satisfy the request Accept header."
            raise Refusal(HTTPStatus.NOT_ACCEPTABLE, {"detail": detail})
        caller = self.tokens.authenticate(request)
        if self.staff_only:
            require_staff(caller)
        if self.throttle:
            require_window(caller, self.throttle)
        if request.method not in self.allowed.split(", "):
            require_method(request, self.allowed)
        return caller

    def _description(self) -> dict[str, object]:
        # Case "OPTIONS": only the keys of its content are known.
        return {
            "name": self.name,
            "description": "",
            "renders": ["application/json"],
            "parses": [
                "application/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ],
        }


def _takes_json(accept: str) -> bool:
    """Whether one of the media types is that of JSON, with any parameters."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    return not kinds.isdisjoint({"*/*", "application/*", "application/json"})
