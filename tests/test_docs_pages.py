"""The README's size, the site's navigation, and the pages that are made from the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GENERATED = {"changelog.md", "cli.md", "schema.md"}


@pytest.fixture(scope="module")
def generate() -> Any:
    pytest.importorskip("mkdocs", reason="pip install '.[docs]'")
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 130 and len(text.split()) <= 1000


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 5 and [link for link in links if not (ROOT / link).exists()] == []


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = sorted(page for section in navigation for pages in section.values() for page in pages)
    assert named == sorted({path.name for path in (ROOT / "docs").glob("*.md")} | GENERATED)


def test_the_command_page_has_every_command_and_its_options(generate: Any) -> None:
    page = generate.command_page()
    assert {"kansearch launch", "kansearch doctor", "kansearch bench samplers"} <= set(
        re.findall("(?m)^## (.+)$", page)
    )
    assert "--time-budget" in page and "--quantize" in page


def test_the_schema_page_has_every_key_with_its_meaning(generate: Any) -> None:
    page = generate.schema_page()
    assert "| `grid_size` | integer ≥ 1 ≤ 100 | `5` | intervals of the grid |" in page
    assert "| `init` | `variance`, `power_law`, `efficient_kan` | `variance` |" in page
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert len(rows) > 300 and all(row.count(" |") == 4 for row in rows if "\\|" not in row)


def test_the_headings_of_the_schema_page_are_words_of_the_file(generate: Any) -> None:
    titles = re.findall("(?m)^## (.+)$", generate.schema_page())
    assert {"model: plain", "model.basis: bspline", "optimizer: adamw", "grid_schedule", "search"} <= set(titles)
    assert [title for title in titles[1:] if title != title.lower()] == [] and len(set(titles)) == len(titles)


def test_the_links_of_the_changelog_page_lead_to_pages(generate: Any) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", generate.changelog_page())
    assert len(links) > 3 and [link for link in links if not (ROOT / "docs" / link).exists()] == []
