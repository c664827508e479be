"""The shared log in Redis, or Valkey: one round trip for each exchange, by the server's clock."""

from __future__ import annotations

import anyio
import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from async_enroll.http.tokens import Secret
from async_enroll.pacing.shared.log import Reply, Request
from async_enroll.pacing.shared.script import CLOCK, RULES
from async_enroll.pacing.shared.store import StoreError

_CLOSING = 0.2
"""Seconds that closing a connection may take."""


class RedisStore:
    """Keeps the log of a name under one key of a Redis database, over a connection of its own.

    `url` may hold a password, which appears nowhere. The connection is opened on first use, and
    anew after any failure.
    """

    def __init__(self, url: Secret[str], name: str) -> None:
        self._url = url
        self._key = f"async_enroll:1:{name}"
        self._redis: Redis | None = None

    async def exchange(self, request: Request) -> Reply:
        """Have Redis apply a request; raises StoreError if it does not."""
        try:
            if self._redis is None:
                # We try again in our own way, and within our own time.
                self._redis = Redis.from_url(self._url.value, retry=Retry(NoBackoff(), 0))
            script = self._redis.register_script(CLOCK + RULES)
            body = await script(keys=[self._key], args=[msgspec.json.encode(request)])
            return msgspec.json.decode(body, type=Reply)
        except Exception as error:  # noqa: BLE001  # whatever a server says, calls go on
            reason = self._reason(error)
        except BaseException:  # cancelled: an answer may still arrive, and would be the next one's
            await self.aclose()
            raise
        await self.aclose()
        # Outside of the `except`, where redis's own frames would hang on to it: they know the URL.
        raise StoreError(reason)

    def _reason(self, error: Exception) -> str:
        """What an error says. Servers repeat what they do not understand, even a password."""
        reason = str(error) or type(error).__name__
        known = self._redis.connection_pool.connection_kwargs if self._redis else {}
        return reason.replace(known.get("password") or "\0", "[password]")

    async def aclose(self) -> None:
        """Close the connection."""
        redis, self._redis = self._redis, None
        if redis is not None:
            with anyio.move_on_after(_CLOSING, shield=True):
                await redis.aclose()
