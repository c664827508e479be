"""A web service that enrolls learners, with FastAPI.

Install:      async_enroll fastapi uvicorn
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
Run:          uvicorn fastapi_app:app

POST /enroll   {"identifiers": [...], "courses": [...]} returns the report as JSON.
POST /migrate  [["jane@example.org", "course-v1:Org+C1+2026"], ...] streams one JSON line for
               each result.

All requests share one client, and so one request window. Starlette cancels only a
`StreamingResponse` when the caller hangs up; any other handler has to watch for the disconnect
itself, as `enroll` does. The service has no access control of its own: put it behind something
that has.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from async_enroll import ConfigurationError, EnrollError, EnrollmentClient, RosterEntry


@asynccontextmanager
async def enrollment_client(app: FastAPI) -> AsyncIterator[None]:
    site, token = os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"]
    async with EnrollmentClient(site, token) as app.state.client:
        yield


app = FastAPI(lifespan=enrollment_client)


@app.post("/enroll")
async def enroll(request: Request, identifiers: list[str], courses: list[str]) -> Response:
    response = Response(status_code=499)  # the caller has gone; nobody sees it
    async with anyio.create_task_group() as tasks:

        async def watch_for_disconnect() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch_for_disconnect)
        try:
            report = await app.state.client.bulk_enroll(identifiers, courses)
            response = JSONResponse(report.to_dict())
        except ConfigurationError as error:  # no courses, say: the caller's mistake
            response = JSONResponse(str(error), 400)
        except EnrollError as error:
            response = JSONResponse(str(error), 502)
        tasks.cancel_scope.cancel()
    return response


@app.post("/migrate")
async def migrate(pairs: list[tuple[str, str]]) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        roster = [RosterEntry(who, course) for who, course in pairs]
        async for result in app.state.client.stream(roster):
            line = [result.identifier, result.course_id, result.outcome.value]
            yield json.dumps(line) + "\n"

    return StreamingResponse(lines())
