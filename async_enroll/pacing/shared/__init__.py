"""One request window for all processes that use a token: its log in Redis, or in an SQLite file."""
