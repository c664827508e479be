"""Tests with a session of the application's, which not every aiohttp that we allow can serve."""

import pytest

from async_enroll.http.sessions import TAKES_SESSIONS

takes_sessions = pytest.mark.skipif(not TAKES_SESSIONS, reason="needs aiohttp 3.14.1")
