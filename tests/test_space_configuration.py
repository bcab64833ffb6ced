"""A file with one complete configuration is read as strictly as a search space."""

import json
import random
from pathlib import Path

import pytest

from kansearch import __version__
from kansearch.errors import InputError, SpaceError
from kansearch.space import find_space, load_config, load_source, load_space, random_config


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "best.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_config(path)
    return str(caught.value).replace(f"{path}:", "")


def test_any_drawn_configuration_is_read_back_as_it_was(tmp_path: Path) -> None:
    space = load_space(find_space("quickstart"))
    for seed in range(20):
        config = random_config(space, random.Random(seed))
        path = tmp_path / f"{seed}.yaml"  # JSON is YAML, of the simplest kind
        path.write_text(json.dumps({"config": config.model_dump(), "source": {"study": "s", "trial": seed}}))
        assert load_config(path) == config


def test_a_distribution_is_refused(tmp_path: Path) -> None:
    text = "config:\n  data: {dataset: digits}\n  model: {depth: {int: [2, 4]}, basis: {choice: [rbf, gram]}}\n"
    first, second = refusal(tmp_path, text).splitlines()
    assert first.startswith("3:18: config.model.depth: ") and "{int: [2, 4]}" in first
    assert second.startswith("3:40: config.model.basis: ") and "{choice: [rbf, gram]}" in second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "config:\n  data: {dataset: minst}\n",
            "2:19: config.data.dataset: unknown name 'minst'; did you mean 'mnist'?",
        ),
        (
            "config: {data: {dataset: mnist}, epohs: 3}\n",
            "1:34: config.epohs: unknown key 'epohs'; did you mean 'epochs'?",
        ),
        ("source: {}\n", "1:1: config: missing"),
        ("config: [\n", "not valid YAML"),
        ("", "must be a mapping with `config`"),
        ("config: {}\nconfig: {}\n", "2:1: config: duplicate key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    lines = refusal(tmp_path, text).splitlines()
    assert any(line.startswith(message) or message in line for line in lines) and len(lines) <= 2


def test_a_file_of_a_newer_version_that_is_not_understood_is_told_apart(tmp_path: Path) -> None:
    text = "source: {{versions: {{kansearch: {}}}}}\nconfig: {{data: {{dataset: digits}}, wings: 2}}\n"
    path = tmp_path / "best.yaml"
    for version in ("99.0.0", "0.10", "1.0.dev3"):
        path.write_text(text.format(f"'{version}'"))
        with pytest.raises(InputError) as newer:
            load_config(path)
        assert str(newer.value) == f"{path}: written by kansearch {version}, this is {__version__}; upgrade to read it"
    for version in ("0.0.9", __version__, "nonsense", "7"):
        assert "unknown key 'wings'" in refusal(tmp_path, text.format(version))
    path.write_text(text.format("'99.0.0'").replace(", wings: 2", ""))
    assert load_config(path).data.dataset == "digits", "what is understood is read"


def test_where_a_configuration_comes_from_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("source: {study: s, trial: 3, values: {accuracy: 0.5}}\nconfig: {data: {dataset: digits}}\n")
    assert load_source(path) == {"study": "s", "trial": 3, "values": {"accuracy": 0.5}}
    path.write_text("config: {data: {dataset: digits}}\n")
    assert load_source(path) == {}


def test_a_file_from_before_the_blocks_were_one_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    text = "config: {{data: {{dataset: digits}}, model: {{basis: gram, affine: {}}}}}\n"
    path.write_text(text.format("null"))
    with pytest.raises(InputError) as earlier:
        load_config(path)
    assert str(earlier.value) == (
        f"{path}: written by an earlier kansearch, whose networks had other blocks: model.affine is null; "
        "set it to true or false to build the network of this version"
    )
    path.write_text(text.format("true"))
    assert load_config(path).model.affine
