"""Tables: what a file holds is what a network gets, nothing of the test part is seen, and errors name their cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn import datasets as published

from kansearch.errors import SpaceError
from kansearch.space import SearchSpace, parse_space
from kansearch.space.configuration import parse_config
from tests.datafiles import data_config
from trials.config import DataConfig
from trials.data.datasets import data_shape, read, training_images
from trials.data.errors import DataFileError, DataMissingError
from trials.data.files import locate
from trials.data.names import class_names, feature_names
from trials.data.splits import load_statistics, load_targets, load_test, load_training

CPU = torch.device("cpu")


def write_table(path: Path, rows: int = 60, **columns: Any) -> Path:
    """A CSV of a number, a city and a target that depends on both."""
    rng = np.random.default_rng(0)
    age, city = rng.normal(40, 9, rows), rng.choice(["Rome", "Oslo", "Bern"], rows)
    table = {"age": age, "city": city, "pay": 3 * age + (city == "Rome"), **columns}
    pandas.DataFrame(table).to_csv(path, index=False)
    return path


def space_of(file: Path, more: str = "target: pay", overrides: tuple[str, ...] = ()) -> SearchSpace:
    text = f"study: t\ndata:\n  dataset: table\n  file: {file.name}\n  {more}\nmodel: {{family: mlp}}\n"
    return parse_space(text, str(file.parent / "my.yaml"), overrides)


def splits_of(config: DataConfig) -> Any:
    return read(config, locate(config.source))


def test_a_table_is_what_its_file_holds(tmp_path: Path) -> None:
    data = space_of(write_table(tmp_path / "x.csv")).data
    assert feature_names(data) == ["age", "city=Bern", "city=Oslo", "city=Rome"] and class_names(data) == ["pay"]
    assert data_shape(data).channels == 4 and data_shape(data).size == () and training_images(data) == 48
    frame = pandas.read_csv(tmp_path / "x.csv")
    oracle = np.column_stack([frame["age"], *(frame["city"] == city for city in ("Bern", "Oslo", "Rome"))])
    training, test = splits_of(data)
    found = {tuple(row): float(y[0]) for split in (training, test) for row, y in zip(*_arrays(split), strict=True)}
    assert found == {tuple(row): y for row, y in zip(oracle, frame["pay"], strict=True)}
    assert len(test) == 12 and not {tuple(row) for row in training.images} & {tuple(row) for row in test.images}


def _arrays(split: Any) -> tuple[Any, Any]:
    return split.images, split.labels


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".tsv", ".csv"])
def test_every_kind_of_file_gives_the_same_splits(tmp_path: Path, suffix: str) -> None:
    frame = pandas.read_csv(write_table(tmp_path / "x.csv"))
    path = tmp_path / f"y{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".npz":
        np.savez(path, age=frame["age"], city=frame["city"].to_numpy("U8"), pay=frame["pay"])
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ";")
    for one, other in zip(splits_of(space_of(tmp_path / "x.csv").data), splits_of(space_of(path).data), strict=True):
        assert np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


def test_classes_are_named_and_stratified(tmp_path: Path) -> None:
    data = space_of(write_table(tmp_path / "x.csv", 90), "target: city\n  task: classification").data
    assert class_names(data) == ["Bern", "Oslo", "Rome"] and feature_names(data) == ["age", "pay"]
    training, test = splits_of(data)
    shares = [np.bincount(split.labels, minlength=3) / len(split) for split in (training, test)]
    assert training.labels.dtype == np.int64 and np.abs(shares[0] - shares[1]).max() < 0.06


def test_numbers_may_be_names_and_columns_ignored(tmp_path: Path) -> None:
    file = write_table(tmp_path / "x.csv", 40, zone=np.arange(40) % 2, key=np.arange(40))
    data = space_of(file, "target: [pay, age]\n  ignore: key\n  categorical: [zone]").data
    assert feature_names(data) == ["city=Bern", "city=Oslo", "city=Rome", "zone=0", "zone=1"]
    assert data_shape(data).classes == 2


def test_nothing_is_learned_from_the_test_part_or_from_what_is_held_out(tmp_path: Path) -> None:
    """Whatever stands in those rows, inputs, categories and statistics stay as they are."""
    frame = pandas.read_csv(write_table(tmp_path / "x.csv"))
    data = space_of(tmp_path / "x.csv").data
    trained, held_out = load_training(data, CPU)
    assert held_out is not None
    seen = set(trained.images[:, 0].tolist())
    mean, std = (each.numpy() for each in (trained.mean, trained.std))
    kept = frame["age"].isin(seen)
    assert np.isclose(mean[0], frame["age"][kept].mean()) and np.isclose(std[0], frame["age"][kept].std(ddof=0))
    assert trained.targets is not None
    assert np.isclose(trained.targets.std.numpy()[0], frame["pay"][kept].std(ddof=0))
    assert torch.allclose(trained.labels.mean(), torch.zeros((), dtype=torch.float64), atol=1e-12)

    other = frame.copy()
    other.loc[~kept, "age"] = 1e6 + np.arange((~kept).sum())
    other.loc[~kept, "pay"] = -1e6
    other.loc[~kept, "city"] = "Nowhere"
    other.to_csv(tmp_path / "y.csv", index=False)
    changed = space_of(tmp_path / "y.csv").data
    assert feature_names(changed) == feature_names(data)
    again, _ = load_training(changed, CPU)
    for name in ("images", "labels", "mean", "std"):
        assert torch.equal(getattr(again, name), getattr(trained, name)), name
    assert (load_test(changed, CPU, hold_out=True).images[:, 1:] == 0).all(), "an unknown category is no other one"


def test_statistics_are_those_of_what_is_trained_on(tmp_path: Path) -> None:
    data = space_of(write_table(tmp_path / "x.csv")).data
    for hold_out in (True, False):
        trained, _ = load_training(data, CPU, hold_out=hold_out)
        assert np.allclose(load_statistics(data, hold_out=hold_out)[0], trained.mean)
        targets, test = load_targets(data, hold_out=hold_out), load_test(data, CPU, hold_out=hold_out)
        assert targets is not None and test.targets is not None and trained.targets is not None
        assert torch.equal(targets.std, trained.targets.std) and torch.equal(test.mean, trained.mean)
    assert not np.allclose(load_statistics(data, hold_out=True)[0], load_statistics(data)[0])


def test_the_test_part_has_a_seed_of_its_own(tmp_path: Path) -> None:
    file = write_table(tmp_path / "x.csv")
    first, *others = (
        splits_of(space_of(file, f"target: pay\n  {each}").data)[1].images[:, 0].tolist()
        for each in ("test_seed: 0", "split_seed: 5", "validation: 0.3", "test_seed: 1")
    )
    assert first == others[0] == others[1] != others[2]


BAD = {
    "a,b,y\n1,2,3\n4,,6\n": "x.csv:3: column 'b' is missing; fill it in, remove such rows, or list the column",
    "a,b,y\n1,2,3\n4,?,6\n4,NA,6\n": "x.csv:3: column 'b' is missing (2 of 3 rows lack it)",
    "a,y\n1,2\n1,x\n": "x.csv:3: column 'y': 'x' is not a finite number",
    "a,y\n1,2\n1,inf\n": "x.csv:3: column 'y': 'inf' is not a finite number",
    "a,y\n1,2\n1,2,3\n": "x.csv:3: 3 cells where the header has 2 columns",
    'a,y\n"1\n2",2\n\n1\n': "x.csv:5: 1 cells where the header has 2 columns",
    "a,a,y\n1,2,3\n": "x.csv:1: column 'a' is there twice",
    "a=b,y\n1,2\n": "x.csv:1: a column is named 'a=b'",
    "a,z\n1,2\n": "x.csv:1: has no column 'y'; its columns are a, z",
    "y\n1\n2\n": "x.csv: has no column beside the target",
    "a,y\n": "x.csv: has no rows",
    "": "x.csv: is empty; a header",
    'a,y\n"1,2\n': "x.csv:2: not a row of a CSV file",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:20])
def test_what_is_wrong_with_a_table_is_said_with_its_place(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SpaceError) as caught:
        space_of(tmp_path / "x.csv", "target: y")
    (issue,) = caught.value.issues
    assert (issue.line, issue.path) == (4, "data.file") and BAD[text] in issue.reason, issue.reason


def test_columns_of_too_many_names_and_of_odd_text_are_refused(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(200)]
    file = write_table(tmp_path / "x.csv", 200, word=words)
    with pytest.raises(SpaceError, match=r"column 'word' has 1\d\d categories, and 100 is the most; list it under"):
        space_of(file)
    with pytest.raises(SpaceError, match=r"target 'pay' has \d+ classes.*write task: regression"):
        space_of(file, "target: pay\n  ignore: word\n  task: classification")
    write_table(file, 60, size=[*range(30), "large", *range(29)])
    with pytest.raises(SpaceError, match=r"x.csv:32: column 'size': 'large' is not a finite number, as \d+ others are"):
        space_of(file)


def test_a_missing_or_changed_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"my.yaml:4:9: data.file: .*x.csv: no such file"):
        space_of(tmp_path / "x.csv")
    file = write_table(tmp_path / "x.csv")
    data = space_of(file).data
    write_table(file, 70)
    with pytest.raises(DataFileError, match="has 56 rows to train with, and had 48"):
        splits_of(data)
    write_table(file).write_text(file.read_text().replace("city", "town", 1))
    with pytest.raises(DataFileError, match="has no column 'city'"):
        splits_of(data)
    file.unlink()
    with pytest.raises(DataMissingError, match="no such file"):
        locate(data.source)
    (tmp_path / "there").mkdir()
    assert locate(data.source, write_table(tmp_path / "there" / "x.csv").parent) == tmp_path / "there" / "x.csv"


def test_a_space_remembers_what_its_table_said(tmp_path: Path) -> None:
    file = write_table(tmp_path / "x.csv")
    space = space_of(file)
    file.unlink()
    again = parse_space(space.source, space.file, space.overrides)
    assert again.data == space.data and data_shape(again.data).channels == 4


def test_a_configuration_by_hand_is_described_too(tmp_path: Path) -> None:
    write_table(tmp_path / "x.csv")
    text = "config:\n  data: {dataset: table, file: x.csv, target: pay}\n"
    config = parse_config(text, str(tmp_path / "mine.yaml"))
    assert data_shape(config.data).channels == 4 and Path(str(config.data.source)[5:]) == tmp_path / "x.csv"
    with pytest.raises(ValueError, match=r"data.columns: the inputs of x.csv are not known"):
        data_shape(data_config(dataset="table", file="x.csv", target="pay"))


@pytest.mark.parametrize("name", ["diabetes", "wine", "breast_cancer", "iris"])
def test_scikit_learns_tables_are_its_own(name: str) -> None:
    config = data_config(dataset=name)
    oracle = getattr(published, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    assert feature_names(config) == list(oracle.feature_names)
    assert name == "diabetes" or class_names(config) == list(oracle.target_names)
    training, test = read(config, None)
    assert training_images(config) == len(training) and data_shape(config).channels == oracle.data.shape[1]
    found = np.concatenate([training.images, test.images]), np.concatenate([training.labels, test.labels]).ravel()
    rows = sorted(map(tuple, np.column_stack(found).tolist()))
    assert rows == sorted(map(tuple, np.column_stack([oracle.data, oracle.target]).tolist()))


def test_images_settings_are_refused_for_rows() -> None:
    for field in ({"augment": "affine"}, {"pixels": "unit"}):
        with pytest.raises(ValueError, match="is for images, and iris has rows of numbers"):
            data_config(dataset="iris", **field)
    with pytest.raises(ValueError, match="columns: pay is a target"):
        data_config(dataset="table", file="x.csv", target="pay", columns=["pay", "age"])
