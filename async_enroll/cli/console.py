"""Terminal output: results on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # `output.ending` decides the exit status, not rich


# Output contains untrusted text, which must not be read as markup.
OUT = _Console(markup=False, highlight=False, emoji=False)
ERR = _Console(markup=False, highlight=False, emoji=False, stderr=True)


def printable(text: str) -> str:
    """`text` with control and other non-printable characters as backslash escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(console: Console, text: Text) -> None:
    """Print text, wrapped on a terminal only."""
    console.print(text, soft_wrap=not console.file.isatty())


@contextmanager
def busy(words: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal, unless `quiet`, what the body does, and for how long."""
    if quiet or not ERR.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True) as shown:
        shown.add_task(printable(words), total=None)
        yield


def note(text: str) -> None:
    """Print a message to stderr."""
    _remark(Text(), text)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    _remark(Text("warning: ", "bold yellow"), text)


def complain(text: str) -> None:
    """Print an error to stderr."""
    _remark(Text("error: ", "bold red"), text)


def _remark(kind: Text, text: str) -> None:
    lines = "\n".join(map(printable, text.splitlines()))
    say(ERR, kind.append(lines, ""))


def agreed(question: str) -> bool:
    """Ask a question; return whether the answer is yes. No answer is a no.

    Raises:
        KeyboardInterrupt: on Ctrl-C.

    """
    from rich.prompt import Confirm  # few commands ask

    try:
        return Confirm.ask(question, console=ERR, default=False)
    except EOFError:
        ERR.print()
        return False
    except KeyboardInterrupt:
        ERR.print()  # what is said next begins a line
        raise
