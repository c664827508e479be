"""Where things are printed: results on stdout, everything else on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # how a command ends is decided in one place, and not by rich


# What is printed holds other people's words: nothing in them is markup.
OUT = _Console(markup=False, highlight=False, emoji=False)
ERR = _Console(markup=False, highlight=False, emoji=False, stderr=True)


def printable(text: str) -> str:
    """`text` with everything written out that a terminal could take for a command."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(console: Console, text: Text) -> None:
    """Print lines: wrapped for people at a terminal, left whole for files and programs."""
    console.print(text, soft_wrap=not console.file.isatty())


def note(text: str) -> None:
    """Say something on the way, on stderr."""
    _remark(Text(), text)


def warn(text: str) -> None:
    """Warn of something, on stderr."""
    _remark(Text("warning: ", "bold yellow"), text)


def complain(text: str) -> None:
    """Say what went wrong, on stderr."""
    _remark(Text("error: ", "bold red"), text)


def _remark(kind: Text, text: str) -> None:
    lines = "\n".join(map(printable, text.splitlines()))
    say(ERR, kind.append(lines, ""))
