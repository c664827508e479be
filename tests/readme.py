"""The README, and the blocks in it, to be run as they are printed."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PYTHON: list[str] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MARKED: dict[str, str] = dict(
    re.findall(r"^<!-- (\w+) -->\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
)
"""The blocks that are not Python, by the name in the comment above each."""


def python(mark: str) -> str:
    """The one block of Python that has `mark` in it."""
    (code,) = (code for code in PYTHON if mark in code)
    return code
