"""Terminal output: results on stdout, everything else on stderr."""

from __future__ import annotations

from rich.console import Console
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
