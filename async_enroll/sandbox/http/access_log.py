"""One line of the access log."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Request:
    """A request that has been answered, or will not be.

    `status` is as nginx logs it: 444 where the platform reset the connection, 499 where it
    kept silent. A call that a crash has undone is not logged. `query` is the raw query
    string as it came over the wire. `headers` lacks Authorization and takes names in any
    case. `arrival` and `end`, when the answer was ready, are seconds of `time.monotonic`.
    `pairs` is 0 for all but well-formed bulk calls that had been begun by then.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    arrival: float
    end: float
    pairs: int
