"""Load an example anew for each test, as Python does a program."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def program(name: str, *, run_as: str = "example") -> ModuleType:
    """Run the file `name`.py as a module called `run_as`; ``__main__`` starts the program.

    It finds other examples beside it, as it does where it is run.
    """
    spec = spec_from_file_location(run_as, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[0]
    return module
