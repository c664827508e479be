"""The URL of a shared window: ``redis://``, ``rediss://`` or ``file:///``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit
from urllib.request import url2pathname

from attrs import field, frozen

from async_enroll.errors import ConfigurationError
from async_enroll.http.tokens import Secret
from async_enroll.pacing.shared.store import Store

_EXPECTED = (
    "expected something like redis://:password@host:6379/0, with special characters of the "
    "password escaped, rediss://… or file:///folder/window.db"
)
_LOCAL = ("", "localhost")


@frozen
class SharedWindowUrl:
    """Where processes share their window. The password of the URL appears nowhere.

    `shown`: the URL for messages. `name`: what names the log, None for the user of the token.
    `path`: of the file; None for that in the user's run-time folder, and for Redis.
    """

    shown: str
    name: str | None
    path: Path | None
    _redis: Secret[str] | None = field(default=None)

    def store(self, name: str) -> Store:
        """The store of a log. Nothing is opened yet."""
        # Both are loaded only where they are used.
        if self._redis is not None:
            from async_enroll.pacing.shared.redis import RedisStore

            return RedisStore(self._redis, name)
        from async_enroll.pacing.shared.file import FileStore

        return FileStore(self.path, name)


def shared_window_url(given: Secret[Any]) -> SharedWindowUrl:
    """Parse the URL of a shared window.

    Raises:
        ConfigurationError: if it is unusable, or an extra is missing. Shows nothing that may be
            part of a password.

    """
    if not isinstance(given.value, str):
        found = type(given.value).__name__
        raise ConfigurationError(f"shared_window is a {found}; {_EXPECTED}")
    parts = _split(given)
    if parts is None:
        raise ConfigurationError(f"shared_window is no URL of that kind; {_EXPECTED}")
    return _of_file(*parts.value) if parts.value[0].scheme == "file" else _of_redis(parts)


def _split(given: Secret[str]) -> Secret[tuple[SplitResult, str | None]] | None:
    """The parts of the URL, and the name in its query; None if it is none."""
    try:
        url = urlsplit(given.value.strip())
        query = parse_qs(url.query, strict_parsing=bool(url.query))
        valid = url.port != 0 and not url.fragment
    except ValueError:
        return None
    names = query.pop("name", [])
    # An @ after the host's place stands in a password whose special characters are not escaped.
    valid = valid and "@" not in url.path + url.query and len(names) < 2
    if url.scheme == "file":
        valid = valid and url.netloc in _LOCAL and not query and "\0" not in url.path
    else:
        valid = valid and url.scheme in ("redis", "rediss") and bool(url.hostname)
    url = url._replace(query=urlencode(query, doseq=True))
    return Secret((url, names[0] if names else None)) if valid else None


def _of_file(url: SplitResult, name: str | None) -> SharedWindowUrl:
    path = Path(url2pathname(url.path)) if url.path.strip("/") else None
    if path is not None and path.is_dir():
        raise ConfigurationError(
            f"shared_window names the folder {path}; expected the path of a file in it"
        )
    return SharedWindowUrl(f"file://{path or '/'}", name, path)


def _of_redis(parts: Secret[tuple[SplitResult, str | None]]) -> SharedWindowUrl:
    try:
        import redis.asyncio  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'a window in Redis needs redis: pip install "async_enroll[redis]"'
        ) from None
    scheme, host, port = parts.value[0].scheme, parts.value[0].hostname, parts.value[0].port
    host = f"[{host}]" if ":" in f"{host}" else host
    shown = f"{scheme}://{host}{f':{port}' if port else ''}{parts.value[0].path}"
    whole = Secret(parts.value[0].geturl())
    if not _is_understood(whole):
        raise ConfigurationError(
            f"shared_window is {shown} with options that redis does not take; {_EXPECTED}"
        )
    return SharedWindowUrl(shown, parts.value[1], None, whole)


def _is_understood(url: Secret[str]) -> bool:
    from redis.asyncio import Redis

    try:
        pool = Redis.from_url(url.value).connection_pool
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing yet
    except (ValueError, TypeError, AttributeError):
        return False
    return True
