"""Where the configuration file is."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path


def config_path() -> Path:
    """Where the configuration file is, whether or not it exists."""
    return user_config_path("async-enroll", appauthor=False) / "config.toml"
