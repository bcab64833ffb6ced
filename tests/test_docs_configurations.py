"""The configurations that the documents name are read, and have the size that is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kansearch.space import load_config
from trials.run import count_parameters

FILES = sorted((Path(__file__).parent.parent / "docs" / "fashion_mnist").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_has_the_parameters_of_its_name_and_stands_in_the_document(path: Path) -> None:
    source = yaml.safe_load(path.read_text())["source"]
    parameters = count_parameters(load_config(path))
    assert parameters == source["metrics"]["parameters"] == int(path.stem.split("-")[1])
    document = path.parent.with_suffix(".md").read_text()
    assert f"docs/fashion_mnist/{path.name}" in document
    assert f"{source['study'].removeprefix('fashion-mnist-')} {source['trial']} | {parameters:,} |" in document


def test_there_are_some() -> None:
    assert FILES
