"""Resets connections instead of closing them."""

from __future__ import annotations

import asyncio
import socket
import struct

_NO_LINGERING = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close a connection so that its other end sees a reset."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()
