"""The configurations that the documents name: plain networks are built as they were, the KANs of then are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kansearch.errors import InputError
from kansearch.space import load_config
from trials.measure.sizes import count_parameters

FILES = sorted((Path(__file__).parent.parent / "docs" / "fashion_mnist").glob("*.yaml"))
PLAIN = [path for path in FILES if path.stem.startswith("plain")]
KANS = [path for path in FILES if path not in PLAIN]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_stands_in_the_document_with_the_parameters_of_its_name(path: Path) -> None:
    source = yaml.safe_load(path.read_text())["source"]
    parameters = int(path.stem.split("-")[1])
    assert source["metrics"]["parameters"] == parameters
    document = path.parent.with_suffix(".md").read_text()
    assert f"docs/fashion_mnist/{path.name}" in document
    assert f"{source['study'].removeprefix('fashion-mnist-')} {source['trial']} | {parameters:,} |" in document


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_a_plain_network_is_built_with_the_parameters_of_its_name(path: Path) -> None:
    assert count_parameters(load_config(path)) == int(path.stem.split("-")[1])


@pytest.mark.parametrize("path", KANS, ids=lambda path: path.stem)
def test_a_kan_of_the_earlier_blocks_is_not_taken_for_one_of_these(path: Path) -> None:
    with pytest.raises(InputError, match=r"written by an earlier kansearch, whose networks had other blocks"):
        load_config(path)


def test_there_are_some() -> None:
    assert PLAIN and KANS
