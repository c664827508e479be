"""One line of the access log."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Request:
    """A request that has ended.

    `status` is that of nginx's log: 444 if the platform reset the connection, 499 if it sent
    nothing. A call rolled back by a crash is not logged. `query` is the raw query string. `headers`
    lacks Authorization; names match in any case. `arrival` and `end`, when the answer was ready,
    are in seconds of `time.monotonic`. `pairs` is 0 except for valid bulk calls that had begun.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    arrival: float
    end: float
    pairs: int
