"""A room of kansearch is entered by the doors that its `__init__` names in `__all__`, and by no others."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "kansearch"
ROOMS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("api", "cli"))
"""`api` is entered by `kansearch` alone, `cli` by the command."""


def entered() -> dict[str, dict[str, set[str]]]:
    """For each room what others import of it, and which files do."""
    found: dict[str, dict[str, set[str]]] = {room: defaultdict(set) for room in ROOMS}
    for path in ROOT.rglob("*.py"):
        relative = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            package, _, inside = node.module.partition(".")
            room, _, module = inside.partition(".")
            if package == "kansearch" and room in ROOMS and relative.parts[0] != room:
                for door in [module.partition(".")[0]] if module else [alias.name for alias in node.names]:
                    found[room][door].add(str(relative))
    return found


def doors(room: str) -> set[str]:
    """The names in its `__all__`."""
    for node in ast.parse((ROOT / room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"kansearch/{room}/__init__.py names no doors")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_entered_by_its_doors_alone(room: str) -> None:
    used = entered()[room]
    assert {door: files for door, files in used.items() if door not in doors(room)} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_each_door_leads_somewhere(room: str) -> None:
    """Modules are used by another room. Names are exported for users too, so it is enough that they exist."""
    used = entered()[room]
    modules = {path.stem for path in (ROOT / room).glob("*.py")}
    assert {door for door in doors(room) if door in modules and door not in used} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
