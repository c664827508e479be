"""The exit status of a command, and the message if it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum

from async_enroll.errors import ConfigurationError, EnrollError, RosterError, SyncRefused


class ExitStatus(IntEnum):
    """Exit statuses of `async-enroll`."""

    OK = 0
    FAILED_PAIRS = 1
    UNUSABLE = 2
    STOPPED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    """What shells report for a program killed by SIGPIPE: nobody reads the output any more."""


def ending(command: Callable[[], ExitStatus]) -> ExitStatus:
    """Run `command`, print the error that stopped it, if any, and give the exit status."""
    try:
        status = command()
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
    except (ConfigurationError, RosterError, SyncRefused) as error:
        _complain(error)
        return ExitStatus.UNUSABLE
    except EnrollError as error:
        _complain(error)
        return ExitStatus.STOPPED
    except KeyboardInterrupt:
        _complain("interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # Flushing the buffer at exit would fail again, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.BROKEN_PIPE
    except OSError as error:
        _complain(error)
        return ExitStatus.STOPPED
    return status


def _complain(error: object) -> None:
    # Imported here: the common help is printed without rich.
    from async_enroll.cli.console import complain

    complain(str(error))
