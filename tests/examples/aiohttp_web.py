"""A web service that enrolls learners, with aiohttp.web.

Install:      async_enroll, which brings aiohttp
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
Run:          python aiohttp_web.py, which listens on 127.0.0.1:8080

POST /enroll   {"identifiers": [...], "courses": [...]} returns the report as JSON.
POST /migrate  [["jane@example.org", "course-v1:Org+C1+2026"], ...] streams one JSON line for
               each result.

All requests share one client, and so one request window. With `handler_cancellation`, aiohttp
cancels the handler of a caller who hangs up: async_enroll then sends nothing more for that
request, and other requests are not affected. The service has no access control of its own: put
it behind something that has.
"""

import json
import os
from collections.abc import AsyncIterator

from aiohttp import web

from async_enroll import ConfigurationError, EnrollError, EnrollmentClient, RosterEntry

CLIENT = web.AppKey("client", EnrollmentClient)


async def enrollment_client(app: web.Application) -> AsyncIterator[None]:
    site, token = os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"]
    async with EnrollmentClient(site, token) as app[CLIENT]:
        yield


async def enroll(request: web.Request) -> web.Response:
    try:
        body = await request.json()
        identifiers, courses = body["identifiers"], body["courses"]
    except (ValueError, TypeError, KeyError):
        expected = '{"identifiers": [...], "courses": [...]}'
        raise web.HTTPBadRequest(text=f"expected {expected}") from None
    try:
        report = await request.app[CLIENT].bulk_enroll(identifiers, courses)
    except ConfigurationError as error:  # no courses, say: the caller's mistake
        raise web.HTTPBadRequest(text=str(error)) from error
    except EnrollError as error:
        raise web.HTTPBadGateway(text=str(error)) from error
    return web.json_response(report.to_dict())


async def migrate(request: web.Request) -> web.StreamResponse:
    try:
        roster = [RosterEntry(who, course) for who, course in await request.json()]
    except (ValueError, TypeError):
        expected = '[["jane@example.org", "course-v1:Org+C1+2026"], ...]'
        raise web.HTTPBadRequest(text=f"expected {expected}") from None
    response = web.StreamResponse()
    await response.prepare(request)
    async for result in request.app[CLIENT].stream(roster):
        line = json.dumps([result.identifier, result.course_id, result.outcome.value])
        await response.write(f"{line}\n".encode())  # waits while the caller reads slowly
    return response


app = web.Application()
app.cleanup_ctx.append(enrollment_client)
app.add_routes([web.post("/enroll", enroll), web.post("/migrate", migrate)])

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", handler_cancellation=True)
