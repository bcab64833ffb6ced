"""The words of docstrings, comments and pages: plain English, in sentences that need not be read twice."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRAGMENTS = ("Of", "What", "As", "Whatever")
"""A docstring that begins with one of these is a fragment, which has to be decoded."""
MOST_WORDS = 30
LISTED: dict[str, str] = {}
"""Beginnings of sentences that may be longer, each with the reason. At most 25."""
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md"))]

_END = re.compile(
    r"""(?<!e\.g\.)(?<!i\.e\.)(?<!et\sal\.)(?<=[.!?])["')*]*\s+  # a stop
    | (?<=:)\s+(?=[A-Z`])  # a colon before a capital or code
    | (?<=;)\s+(?=\w+:\s)  # the next item of a list on one line""",
    re.VERBOSE,
)
_ITEM = re.compile(r"\s*([-*] |\d+\. |[\w *`/.]{1,40}: )")


@cache
def modules() -> list[Path]:
    return [path for package in ("kansearch", "trials") for path in sorted((ROOT / package).rglob("*.py"))]


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
                yield cleandoc(after.value.value)


def comments(source: str) -> Iterator[str]:
    """The comments of a module; those on lines below each other are one."""
    block, last = "", 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            if not (alone and token.start[0] == last + 1):
                yield block
                block = ""
            block, last = f"{block}\n{token.string.lstrip('# ')}".strip(), token.start[0] if alone else 0
    yield block


def prose(page: str) -> str:
    """A page of Markdown without code, tables, headings, pictures and the targets of links."""
    page = re.sub(r"(?ms)^ *```.*?^ *```", "", page)
    page = re.sub(r"(?m)^ *(\||#|!\[|<).*$", "", page)
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", page)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text. An empty line, an item of a list and a row of a table end one, too."""
    return (sentence for paragraph in _paragraphs(text.splitlines()) for sentence in _END.split(paragraph))


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    block: list[str] = []
    for line in lines:
        row = "   " in line.strip()
        if not line.strip() or row or _ITEM.match(line):
            yield " ".join(block)
            block = []
        if not row:
            block.append(line.strip())
    yield " ".join(block)


def words(sentence: str) -> int:
    """The number of words; code in backquotes is one, and a sign without a letter or digit is none."""
    return sum(bool(re.search(r"[^\W_]", word)) for word in re.sub(r"`[^`]*`", "code", sentence).split())


def too_long(texts: Iterable[str]) -> list[str]:
    found = [each.strip() for text in texts for each in sentences(text) if words(each) > MOST_WORDS]
    return [each for each in found if not each.startswith(tuple(LISTED))]


def test_no_docstring_is_a_fragment() -> None:
    assert len(modules()) > 100
    fragments = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in modules()
        for text in docstrings(ast.parse(path.read_text()))
        if text.split()[:1] and text.split()[0] in FRAGMENTS
    ]
    assert fragments == []


def test_no_sentence_of_a_docstring_or_comment_is_long() -> None:
    found = {}
    for path in modules():
        source = path.read_text()
        if long := too_long([*docstrings(ast.parse(source)), *comments(source)]):
            found[str(path.relative_to(ROOT))] = long
    assert found == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_sentence_of_a_page_is_long(page: Path) -> None:
    assert too_long([prose(page.read_text())]) == []


def test_sentences_are_told_apart() -> None:
    text = "One, e.g. two. Three: `four` five\n\n- an item\n- six; seven: eight   9\nname: ten. eleven (et al. 2)."
    expected = ["One, e.g. two.", "Three:", "`four` five", "- an item", "name: ten.", "eleven (et al. 2)."]
    assert [each for each in sentences(text) if each] == expected
    assert [words(each) for each in expected] == [3, 1, 2, 2, 2, 4]


def test_code_tables_and_targets_are_no_prose() -> None:
    page = "# Title\nSee [a page](far/away.md).\n```\ncode\n```\n  | a | b |\n![picture](x.png)\nEnd."
    assert prose(page).split() == ["See", "a", "page.", "End."]
