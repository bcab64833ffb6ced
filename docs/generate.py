"""Pages that are made when the site is built: the command line, the keys of a search space, and the changelog.

A hook of mkdocs (`mkdocs.yml` names it). Nothing of these pages is written by hand or committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import typer
from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from kansearch.cli import app
from kansearch.space.schema import json_schema

__all__ = ["changelog_page", "command_page", "on_files", "schema_page"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; mkdocs calls this once a build."""
    for name, page in (("cli.md", command_page), ("schema.md", schema_page), ("changelog.md", changelog_page)):
        files.append(File.generated(config, name, content=page()))
    return files


def changelog_page() -> str:
    """Return CHANGELOG.md with its links as a page of the site has them."""
    return (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")


def command_page() -> str:
    """Return the help of every command, in Markdown."""
    parts = [
        "# Commands",
        "",
        "Made from the program's own help. `--json`, where a command has it, prints one JSON document.",
        "",
        "Exit codes: 0 done, 1 failed with one line why, 2 wrong input, 130 and 143 interrupted and resumable.",
    ]
    for name, command in _commands(typer.main.get_command(app), "kansearch"):
        text = command.get_help(click.Context(command, info_name=name, terminal_width=82))
        parts += ["", f"## {name}", "", "```", text.rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The commands below a group, in its order, with their whole names."""
    for each, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _commands(below, f"{name} {each}")
        else:
            yield f"{name} {each}", below


def schema_page() -> str:
    """Return every key of a search space with its values, default and meaning, in Markdown."""
    schema = json_schema()
    parts = [
        "# Keys of a search space",
        "",
        "Made from `kansearch schema`. A value is fixed, or a distribution: `{choice: [...]}`, `{int: [low, high]}`, "
        "`{float: [low, high], log: true}`.",
        *_table("The file", schema, titles := _titles(schema)),
    ]
    for name, title in titles.items():
        if schema["$defs"][name].get("properties"):
            parts += _table(title, schema["$defs"][name], titles)
    return "\n".join(parts) + "\n"


def _titles(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the records in the file's order, each with its heading: its key, and its name where there is a choice."""
    titles: dict[str, str] = {}

    def visit(record: Mapping[str, Any], path: str) -> None:
        for key, field in record.get("properties", {}).items():
            inside = f"{path}.{key}" if path else key
            for name in dict.fromkeys(_references(field)):
                if name not in titles and not name.startswith("Enqueued"):
                    _, _, choice = name.partition(".")
                    titles[name] = f"{inside}: {choice}" if choice else inside
                    visit(schema["$defs"][name], inside)

    visit(schema, "")
    return titles


def _references(field: Any) -> Iterator[str]:
    """Yield the names of the records that a field may hold."""
    if isinstance(field, list):
        for each in field:
            yield from _references(each)
    elif isinstance(field, dict):
        if "$ref" in field:
            yield field["$ref"].rpartition("/")[2]
        for each in field.values():
            yield from _references(each)


def _table(title: str, record: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    lines = ["", f"## {title}", "", record.get("description", ""), "", "| key | values | default | meaning |"]
    lines.append("|---|---|---|---|")
    for key, field in record["properties"].items():
        default = f"`{_text(field['default'])}`" if not isinstance(field.get("default", {}), dict) else ""
        meaning = field.get("description", "").replace("|", "\\|").replace("\n", " ")
        lines.append(f"| `{key}` | {', '.join(dict.fromkeys(_values(field, titles)))} | {default} | {meaning} |")
    return lines


def _values(field: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of a key; distributions are left out, since they are the same everywhere."""
    if "anyOf" in field:
        named = any("$ref" in each for each in field["anyOf"])  # a bare name is in the list beside its record
        for each in field["anyOf"]:
            if not (named and "enum" in each) and not {"choice", "int", "float"} & set(each.get("properties", {})):
                yield from _values(each, titles)
    elif "$ref" in field:
        title = titles.get(field["$ref"].rpartition("/")[2])
        yield f"[{title.partition(': ')[2] or title}](#{slugify(title, '-')})" if title else "a configuration"
    elif "enum" in field:
        yield from (f"`{_text(each)}`" for each in field["enum"])
    elif "const" in field:
        yield f"`{_text(field['const'])}`"
    else:
        bounds = [f"{sign} {field[name]:,}" for name, sign in _BOUNDS.items() if name in field]
        yield " ".join([str(field.get("type", "any")), *bounds])


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
