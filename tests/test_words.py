"""The words of docstrings: plain English, whose first word is a verb or the thing's name."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRAGMENTS = ("Of", "What", "As", "Whatever")
"""A docstring that begins with one of these is a fragment, which has to be decoded."""


def docstrings(tree: ast.AST) -> Iterator[str]:
    """The docstrings of modules, classes and functions, and those below attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""
        for before, after in itertools.pairwise(body):
            described = isinstance(before, (ast.Assign, ast.AnnAssign)) and isinstance(after, ast.Expr)
            if described and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                yield after.value.value


def test_no_docstring_is_a_fragment() -> None:
    paths = [path for package in ("kansearch", "trials") for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(paths) > 100
    fragments = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in paths
        for text in docstrings(ast.parse(path.read_text()))
        if text.split()[:1] and text.split()[0] in FRAGMENTS
    ]
    assert fragments == []
