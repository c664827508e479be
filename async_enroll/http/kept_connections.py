"""Connector of aiohttp's that reuses no connection on which the server has spoken unasked.

`http.transport` uses it for the session that keeps connections.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class KeptConnections(aiohttp.TCPConnector):
    """Keeps connections, but for those on which bytes have come that answer no request.

    aiohttp would take these bytes for the answer to the next request. `options` are those of
    `aiohttp.TCPConnector`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A server may speak first on each new connection: those are not given up one by one.
        self._used: WeakSet[object] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Take a kept connection, or open a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None:  # only of a connection that was given back
                return connection
            if protocol not in self._used:
                self._used.add(protocol)
                return connection
            if not protocol.should_close:
                return connection
            connection.close()
