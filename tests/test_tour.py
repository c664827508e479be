"""The tour of the code: every name in it exists, and it leaves out no room and no layer."""

import re
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest

PROJECT = Path(__file__).parent.parent
HOUSE = PROJECT / "async_enroll"
TOUR = (HOUSE / "README.md").read_text("utf-8")
TREE, LAYERS = re.findall(r"^```\n(.*?)^```$", TOUR, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```\n.*?^```$", "", TOUR, flags=re.MULTILINE | re.DOTALL)
OTHERS = {"Retry-After", "nox -s lint"}
NAMES = sorted(set(re.findall(r"`([^`]+)`", PROSE)) - OTHERS)


def is_there(name: str) -> bool:
    """Whether a name in the tour is one of a file, a folder, or something to be imported."""
    if "/" in name or name.endswith((".py", ".toml")):
        return (HOUSE / name).exists() or (PROJECT / name).exists()
    try:
        resolve_name(f"{HOUSE.name}.{name}")
    except (AttributeError, ImportError):
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists(name: str) -> None:
    assert is_there(name)


@pytest.mark.parametrize(
    "name", ["http/nowhere.py", "nowhere.toml", "nowhere", "http.nowhere", "client.nowhere.at_all"]
)
def test_a_name_that_does_not_exist_is_found_out(name: str) -> None:
    assert not is_there(name)


def test_the_tree_is_that_of_the_package() -> None:
    shown = [line.split()[0] for line in TREE.splitlines()]
    there = [path.name + "/" * path.is_dir() for path in HOUSE.iterdir()]
    assert sorted(shown) == sorted(set(there) - {"__pycache__/"})


def test_the_layers_are_those_of_the_contract() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["type"] == "layers")
    assert [" ".join(layer.split()) for layer in LAYERS.split(">")] == contract["layers"]
