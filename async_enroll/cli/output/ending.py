"""How a command ends: its exit status, and what it says on failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum

from async_enroll.cli.console import complain
from async_enroll.errors import ConfigurationError, EnrollError, RosterError


class ExitStatus(IntEnum):
    """What the command tells the shell."""

    OK = 0
    FAILED_PAIRS = 1
    UNUSABLE = 2
    STOPPED = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    """As a shell reports a program that SIGPIPE has killed: whoever read has left."""


def ending(command: Callable[[], ExitStatus]) -> ExitStatus:
    """Run `command`; say in words what stopped it, if anything did."""
    try:
        status = command()
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
    except (ConfigurationError, RosterError) as error:
        complain(str(error))
        return ExitStatus.UNUSABLE
    except EnrollError as error:
        complain(str(error))
        return ExitStatus.STOPPED
    except KeyboardInterrupt:
        complain("interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer would fail once more, with a traceback, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.BROKEN_PIPE
    except OSError as error:
        complain(str(error))
        return ExitStatus.STOPPED
    return status
