"""A regression's model: from a table to a folder, and from that to predictions in the target's own units."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import kansearch
from kansearch.errors import InputError, KansearchError
from kansearch.models.compare import compare
from kansearch.models.compress import compress
from kansearch.models.predict_rows import predict_rows, takes_rows
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.space.configuration import parse_config
from kansearch.tracking.serving import ServedModel
from tests.test_tables import write_table
from trials.config import TrialConfig
from trials.data.splits import load_test, load_training
from trials.saved.compress.smaller import CompressionOptions
from trials.saved.portable import write_portable
from trials.saved.trained import ModelError, load_model

CONFIG = """
config:
  data: {{dataset: table, file: x.csv, {data}, batch_size: 16}}
  model: {{family: mlp, depth: 1, width: 4, basis: {{name: gram, degree: 2}}}}
  optimizer: {{name: adamw, lr: 0.03, weight_decay: 0.0}}
  precision: {precision}
  epochs: {epochs}
"""


def config_in(folder: Path, data: str = "target: pay", precision: str = "auto", epochs: int = 30) -> TrialConfig:
    write_table(folder / "x.csv", 120)
    return parse_config(CONFIG.format(data=data, precision=precision, epochs=epochs), str(folder / "c.yaml"))


@pytest.fixture(scope="module")
def pay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with x.csv and a model of what people are paid, in float64, trained less the held-out part."""
    folder = tmp_path_factory.mktemp("pay")
    retrain(Retraining(config_in(folder, precision="float64"), folder / "model", hold_out=True))
    return folder


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a model of the city."""
    folder = tmp_path_factory.mktemp("city")
    retrain(Retraining(config_in(folder, "target: city, task: classification", epochs=3), folder / "model"))
    return folder


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_predictions_are_the_networks_in_the_targets_units(pay: Path) -> None:
    predicted = predict_rows(pay / "model", [pay / "x.csv"])
    assert predicted.header == ["age", "city", "pay", "predicted_pay"] and not predicted.notes
    frame = pandas.read_csv(pay / "x.csv")
    rows = read_csv(predicted.text())
    assert [row["city"] for row in rows] == frame["city"].tolist()
    guesses = np.array([float(row["predicted_pay"]) for row in rows])
    assert np.corrcoef(guesses, frame["pay"])[0, 1] > 0.99 and abs(guesses.mean() - frame["pay"].mean()) < 5

    model, config = load_model(pay / "model")
    trained, _ = load_training(config.data, torch.device("cpu"))
    assert trained.targets is not None
    with torch.no_grad():
        outputs = model.network(trained.normalised(trained.images))
        own = outputs * trained.targets.std + trained.targets.mean
        assert torch.equal(model(trained.images), own) and own.dtype == torch.float64
    assert set(map(float, own[:, 0])) <= set(guesses.tolist())


def test_the_folder_says_what_it_is(pay: Path) -> None:
    metrics = json.loads((pay / "model" / "metrics.json").read_text())
    assert 0 < metrics["nrmse"] < 0.3 and metrics["accuracy_sampling"] is None
    assert metrics["validation_nrmse"] > 0 and metrics["runs"][0]["per_target"][0]["target"] == "pay"
    card = (pay / "model" / "README.md").read_text()
    assert (
        "predicts numbers from rows of `table`" in card and "| pay |" in card and "kansearch predict DIR ROWS" in card
    )
    assert "confusion" not in card and "probabilities" not in card
    assert (pay / "model" / "curves.png").exists() and not (pay / "model" / "confusion.png").exists()
    with Image.open(pay / "model" / "predictions.png") as picture:
        assert picture.width > 1200 and picture.height > 500 and "](predictions.png)" in card


def test_samples_of_the_test_split_are_kept_with_what_is_predicted_of_them(pay: Path) -> None:
    (target,) = json.loads((pay / "model" / "metrics.json").read_text())["runs"][0]["per_target"]
    model, config = load_model(pay / "model")
    test = load_test(config.data, torch.device("cpu"))
    assert test.targets is not None and len(target["pairs"]) == len(test)
    with torch.no_grad():
        predicted = model(test.images)[:, 0]
    true = test.labels[:, 0] * test.targets.std + test.targets.mean
    np.testing.assert_allclose(np.array(target["pairs"]), torch.stack([true, predicted], 1).numpy(), rtol=1e-4)


def test_the_target_need_not_be_there_and_other_columns_may(pay: Path, tmp_path: Path) -> None:
    frame = pandas.read_csv(pay / "x.csv")
    frame.drop(columns="pay").assign(name="n").to_csv(tmp_path / "new.csv", index=False)
    whole, less = (predict_rows(pay / "model", [path]) for path in (pay / "x.csv", tmp_path / "new.csv"))
    assert less.header == ["age", "city", "name", "predicted_pay"]
    assert [row[-1] for row in less.rows] == [row[-1] for row in whole.rows]


def test_what_is_wrong_with_rows_is_said_with_its_place(pay: Path, tmp_path: Path) -> None:
    cases = {
        "age,city\n30,Rome\n,Oslo\n": r"new.csv:3: column 'age' is missing",
        "age,city\n30,Rome\nold,Oslo\n": r"new.csv:3: column 'age': 'old' is not a finite number",
        "age\n30\n": r"new.csv:1: has no column 'city'; its columns are age",
    }
    for text, message in cases.items():
        (tmp_path / "new.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            predict_rows(pay / "model", [tmp_path / "new.csv"])
    (tmp_path / "new.csv").write_text("age,city\n30,Paris\n")
    assert (
        "column 'city' has categories that the training had not"
        in predict_rows(pay / "model", [tmp_path / "new.csv"]).notes[0]
    )
    with pytest.raises(InputError, match=r"new.csv: has other columns than"):
        predict_rows(pay / "model", [pay / "x.csv", tmp_path / "new.csv"])
    with pytest.raises(KansearchError, match="no such folder"):
        takes_rows(tmp_path / "nowhere")


def test_classes_have_names_and_probabilities(city: Path) -> None:
    predicted = predict_rows(city / "model", [city / "x.csv"])
    assert predicted.header[-2:] == ["predicted_city", "probability"]
    assert {row[-2] for row in predicted.rows} <= {"Bern", "Oslo", "Rome"}
    assert all(1 / 3 <= row[-1] <= 1 for row in predicted.rows)
    model = kansearch.load_model(city / "model")
    frame = pandas.read_csv(city / "x.csv")
    assert [model.classes[label] for label in model.predict(frame)] == [row[-2] for row in predicted.rows]
    assert model.probabilities(frame).shape == (120, 3)
    found = compare(city / "model", city / "model", None)
    assert found["difference"] == 0 and found["images"] == 24


def test_python_takes_a_frame_or_an_array(pay: Path) -> None:
    model = kansearch.load_model(pay / "model")
    frame = pandas.read_csv(pay / "x.csv")
    numbers = model.predict(frame)
    assert numbers.shape == (120, 1) and numbers.dtype == np.float64
    array = np.column_stack([frame["age"], *(frame["city"] == name for name in ("Bern", "Oslo", "Rome"))])
    assert np.array_equal(model.predict(array), numbers)
    assert np.allclose(model.predict({"age": frame["age"], "city": frame["city"]}, batch=7), numbers)
    assert model.predict(array[:0]).shape == (0, 1)
    with pytest.raises(InputError, match="predicts numbers, not classes; call predict"):
        model.probabilities(array)
    with pytest.raises(InputError, match="column 'age'"):
        model.predict({"age": ["old"], "city": ["Rome"]})


def test_numbers_are_exported_in_the_targets_units(pay: Path, tmp_path: Path) -> None:
    from onnxruntime import InferenceSession

    write_portable(pay / "model", ["torch", "onnx"])
    model, config = load_model(pay / "model")
    rows = load_training(config.data, torch.device("cpu"))[0].images
    session = InferenceSession(pay / "model" / "seed-0" / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"samples": rows.numpy()})[0]
    assert np.allclose(found, model(rows).detach().numpy(), rtol=1e-5)


def test_mlflow_serves_a_column_for_each_target(pay: Path) -> None:
    frame = ServedModel(str(pay / "model")).predict(np.zeros((3, 4)))
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == ["pay"] and len(frame) == 3


def test_models_of_numbers_are_not_compared_image_by_image(pay: Path) -> None:
    with pytest.raises(KansearchError, match="predicts numbers, none of which is right or wrong"):
        compare(pay / "model", pay / "model", None)


def test_models_of_numbers_are_pruned_by_their_nrmse(pay: Path, tmp_path: Path) -> None:
    options = CompressionOptions(tolerance=0.05)
    report = compress(pay / "model", tmp_path / "pruned", options, None, lambda step: None, lambda epoch: None)
    before, after = report["steps"][0], report["steps"][-1]
    assert before["accuracy"] is None and after["nrmse"] > 0 and after["edges"] < before["edges"]
    metrics = json.loads((tmp_path / "pruned/metrics.json").read_text())
    assert metrics["nrmse"] == after["nrmse"] and metrics["nonzero_parameters"] == after["nonzero"]
    model, config = load_model(tmp_path / "pruned")
    test = load_test(config.data, torch.device("cpu"))
    assert test.targets is not None
    off = model(test.images) - (test.labels * test.targets.std + test.targets.mean)
    assert off.square().mean().sqrt().item() == pytest.approx(metrics["rmse"], rel=1e-6), (
        "of the model's own statistics"
    )
    assert predict_rows(tmp_path / "pruned", [pay / "x.csv"]).rows
    for wrong in ({"int8": True}, {"tables": True}):
        with pytest.raises(KansearchError, match="are for classes"):
            options = CompressionOptions(**wrong)  # type: ignore[arg-type]
            compress(pay / "model", tmp_path / "no", options, None, lambda step: None, lambda epoch: None)
    with pytest.raises(InputError, match="--tolerance -1: a share"):
        options = CompressionOptions(tolerance=-1.0)
        compress(pay / "model", tmp_path / "no", options, None, lambda step: None, lambda epoch: None)


@pytest.mark.parametrize(
    "change", [{"targets": {"mean": [1.0], "std": [1.0, 2.0]}}, {"targets": None}, {"mean": [0.0]}, {"classes": []}]
)
def test_a_damaged_manifest_is_refused(pay: Path, change: dict[str, Any], tmp_path: Path) -> None:
    folder = pay / "model" / "seed-0"
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "model.json").read_text()) | change
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="not a model that kansearch wrote"):
        load_model(tmp_path)
