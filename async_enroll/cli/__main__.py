"""The command line as ``python -m async_enroll.cli``."""

from async_enroll.cli import main

main()
