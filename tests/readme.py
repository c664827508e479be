"""The README, and the programs in it, to be run as they are printed."""

import re
from pathlib import Path
from types import ModuleType

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def program(mark: str, *, name: str = "from_the_readme") -> ModuleType:
    """Import the first program that has `mark` in it, as Python does a file of one's own."""
    code = next(code for code in PYTHON if mark in code)
    module = ModuleType(name)
    exec(compile(code, "README.md", "exec"), module.__dict__)
    return module
