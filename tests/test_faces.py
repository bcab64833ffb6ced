"""The two packages through which the driver reaches torch: what they export, and that they are light."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

FACES = ("trials", "trials.training", "trials.saved")


@pytest.mark.parametrize("name", FACES)
def test_a_face_exports_what_it_types(name: str) -> None:
    face = import_module(name)
    tree = ast.parse(Path(str(face.__file__)).read_text())
    typed = {
        each.name
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    assert typed == set(face.__all__)
    for each in face.__all__:
        assert getattr(face, each) is not None
    with pytest.raises(AttributeError, match=rf"module '{name}' has no attribute 'lunch'"):
        face.lunch  # noqa: B018


@pytest.mark.parametrize("name", FACES)
def test_no_export_of_a_face_hides_a_module_of_it(name: str) -> None:
    folder = Path(str(import_module(name).__file__)).parent
    assert not {path.stem for path in folder.iterdir()} & set(import_module(name).__all__)


def test_faces_load_no_torch_before_they_are_used() -> None:
    program = f"import sys, {', '.join(FACES)}, trials.measure; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
