"""`kansearch predict`: the model's own classes of files that a user has, and one line for what it cannot take."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from tests.commandline import Command, kansearch_fixture, one_line
from tests.datafiles import write_arrays, write_folder, write_image
from tests.modelfolder import model_config, write_model
from trials import load_model
from trials.config import TrialConfig
from trials.data.decode import decode_image
from trials.data.splits import Split, load_test
from trials.saved.trained import describe_model
from trials.training.run import run_trial

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SIGNALS = {"dataset": "synthetic", "size": [40], "channels": 2, "samples": 40, "batch_size": 8}
PIXELS = {"dataset": "synthetic", "size": [12, 16], "channels": 3, "samples": 20, "dense": True, "batch_size": 8}


def digits(**data: Any) -> TrialConfig:
    document = {
        "data": {"dataset": "digits", "batch_size": 64, **data},
        "model": {"depth": 1, "width": 6, "basis": {"name": "rbf", "grid_size": 3}},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "epochs": 3,
    }
    return TrialConfig.model_validate(document)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the digits, retrained."""
    folder = tmp_path_factory.mktemp("digits") / "model"
    retrain(Retraining(digits(), folder))
    return folder


@pytest.fixture(scope="module")
def test_split() -> Split:
    return load_test(digits().data, torch.device("cpu"))


def document(kansearch: Command, *arguments: str | Path) -> list[dict[str, Any]]:
    outcome = kansearch("predict", *arguments, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    return list(json.loads(outcome.out))


def softmax(folder: Path, samples: NDArray[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        probabilities: NDArray[np.float32] = load_model(folder)[0](torch.tensor(samples)).softmax(1).numpy()
    return probabilities


# -- images --------------------------------------------------------------------------------------------------------


def test_the_test_split_as_files_has_the_classes_and_the_accuracy_that_were_measured(
    model: Path, test_split: Split, tmp_path: Path, kansearch: Command
) -> None:
    images = test_split.images.numpy()
    for index, image in enumerate(images):
        write_image(tmp_path / f"{index:04}.png", image[0])
    rows = document(kansearch, model, tmp_path, "--batch", 100)
    assert [row["file"] for row in rows] == [str(tmp_path / f"{index:04}.png") for index in range(len(images))]
    expected = softmax(model, images)
    labels = np.array([row["label"] for row in rows])
    assert (labels == expected.argmax(1)).all()
    assert [row["class"] for row in rows] == [str(label) for label in labels]
    np.testing.assert_allclose([row["probability"] for row in rows], expected.max(1), rtol=1e-5)
    measured = json.loads((model / "metrics.json").read_text())["accuracy"]
    assert (labels == test_split.labels.numpy()).mean() == pytest.approx(measured)
    assert measured > 0.5


def test_top_names_the_likeliest_classes_in_their_order(
    model: Path, test_split: Split, tmp_path: Path, kansearch: Command
) -> None:
    path = write_image(tmp_path / "one.png", test_split.images[0, 0].numpy())
    expected = softmax(model, test_split.images[:1].numpy())[0]
    order = np.argsort(-expected)
    [row] = document(kansearch, model, path, "--top", 3)
    assert [each["label"] for each in row["top"]] == order[:3].tolist()
    assert row["top"][0] == {key: row[key] for key in ("class", "label", "probability")}
    text = kansearch("predict", model, path, "--top", 2)
    first, second = order[:2]
    assert text == (0, f"{path}: {first} {expected[first]:.4f}, {second} {expected[second]:.4f}\n", "")
    assert len(document(kansearch, model, path, "--top", 99)[0]["top"]) == 10


def test_several_files_and_folders_are_taken_in_their_order(model: Path, tmp_path: Path, kansearch: Command) -> None:
    names = ("b.png", "folder/2.JPG", "folder/10.png", "a.bmp")
    for name in names:
        write_image(tmp_path / name, np.full((8, 8), 90, np.uint8))
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    rows = document(kansearch, model, *(tmp_path / name for name in ("b.png", "folder", "a.bmp")))
    found = [str(Path(row["file"]).relative_to(tmp_path)) for row in rows]
    assert found == ["b.png", "folder/10.png", "folder/2.JPG", "a.bmp"]
    assert all(row["index"] is None for row in rows)


def test_an_image_of_another_size_is_refused_and_resized_on_demand(
    model: Path, tmp_path: Path, kansearch: Command
) -> None:
    path = write_image(tmp_path / "wide.png", np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    told = one_line(kansearch("predict", model, path), 2)
    assert f"{path}: 30x20 pixels where the model takes 8x8; --resize scales and crops" in told
    [row] = document(kansearch, model, path, "--resize")
    expected = softmax(model, decode_image(path, 8, 1)[None])[0]
    assert row["probability"] == pytest.approx(expected.max(), rel=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "CMYK"])
def test_colours_become_grey_for_a_model_of_one_channel(
    mode: str, model: Path, tmp_path: Path, kansearch: Command
) -> None:
    path = tmp_path / ("colours.tif" if mode == "CMYK" else "colours.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).convert(mode).save(path)
    grey = np.asarray(Image.open(path).convert("L"))[None, None]
    [row] = document(kansearch, model, path)
    assert row["probability"] == pytest.approx(softmax(model, grey).max(), rel=1e-5)


def test_a_model_of_a_folder_knows_its_classes_names(tmp_path: Path, kansearch: Command) -> None:
    data = write_folder(tmp_path / "data")
    source = {"dataset": "imagefolder", "image_size": 16, "classes": 2, "batch_size": 8}
    config = TrialConfig.model_validate({"data": source, "model": {"depth": 1, "width": 2}, "epochs": 1})
    list(run_trial(config, device="cpu", data_dir=data, weights=tmp_path / "model.safetensors", hold_out=False))
    describe_model(config, tmp_path, data)
    rows = document(kansearch, tmp_path, data / "test" / "cat", "--resize", "--top", 2)
    assert len(rows) == 3
    assert all({each["class"] for each in row["top"]} == {"cat", "dog"} for row in rows)


# -- arrays --------------------------------------------------------------------------------------------------------


def test_signals_come_as_arrays(tmp_path: Path, kansearch: Command) -> None:
    folder = write_model(tmp_path / "model", model_config(SIGNALS))
    samples = np.random.default_rng(0).normal(120, 50, (5, 2, 40)).astype(np.float32)
    np.save(tmp_path / "x.npy", samples)
    np.savez(tmp_path / "named.npz", x=samples, y=np.arange(5))
    np.savez_compressed(tmp_path / "alone.npz", signals=samples.astype(np.float64))
    np.save(tmp_path / "one.npy", samples[0])
    expected = softmax(folder, samples)
    for name in ("x.npy", "named.npz", "alone.npz", "one.npy"):
        rows = document(kansearch, folder, tmp_path / name, "--batch", 2)
        assert [row["index"] for row in rows] == list(range(1 if name == "one.npy" else 5))
        assert [row["label"] for row in rows] == expected.argmax(1)[: len(rows)].tolist()
        np.testing.assert_allclose([row["probability"] for row in rows], expected.max(1)[: len(rows)], rtol=1e-4)
    text = kansearch("predict", folder, tmp_path / "x.npy")
    assert text.out.startswith(f"{tmp_path / 'x.npy'}[0]: {expected[0].argmax()} ")


def test_arrays_of_one_channel_need_not_name_it(model: Path, tmp_path: Path, kansearch: Command) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", samples)
    rows = document(kansearch, model, tmp_path / "x.npy")
    expected = softmax(model, samples[:, None])
    np.testing.assert_allclose([row["probability"] for row in rows], expected.max(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 9, 9), np.uint8), r"an array (3, 9, 9) where the model takes (N, 1, 8, 8), for any N"),
        (np.zeros((3, 1, 8, 8), "U3"), "an array of <U3; real numbers are needed"),
        (np.full((3, 1, 8, 8), np.nan), "sample 0 holds values that are not finite"),
        (np.array([{}, []], object), "not a readable file of numbers"),
    ],
)
def test_an_array_of_something_else_is_refused(
    array: NDArray[Any], reason: str, model: Path, tmp_path: Path, kansearch: Command
) -> None:
    np.save(tmp_path / "x.npy", array)
    assert reason in one_line(kansearch("predict", model, tmp_path / "x.npy"), 2)


def test_image_files_are_refused_where_their_scale_is_not_the_models(tmp_path: Path, kansearch: Command) -> None:
    image = write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    signals = write_model(tmp_path / "signals", model_config(SIGNALS))
    told = one_line(kansearch("predict", signals, image), 2)
    assert "the model takes signals; give it a .npy file of numbers (N, 2, 40)" in told
    data = write_arrays(tmp_path / "data", np.random.default_rng(0).random((40, 8, 8), np.float32), np.arange(40) % 2)
    config = model_config({"dataset": "arrays", "size": [8, 8], "classes": 2, "batch_size": 8})
    list(run_trial(config, device="cpu", data_dir=data, weights=tmp_path / "model.safetensors", hold_out=False))
    describe_model(config, tmp_path, data)
    told = one_line(kansearch("predict", tmp_path, image), 2)
    assert "was trained on arrays, whose values may be on another scale" in told
    four = write_model(tmp_path / "four", model_config({**SIGNALS, "size": [8, 8], "channels": 4}))
    assert "takes 4 channels, and an image has 1 or 3" in one_line(kansearch("predict", four, image), 2)


# -- a class for each pixel ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("pixels"), model_config(PIXELS, family="unet"))


def test_shares_of_the_pixels_and_masks_are_the_models_own(segmenter: Path, tmp_path: Path, kansearch: Command) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
    for name, each in zip("ab", pixels, strict=True):
        write_image(tmp_path / f"{name}.png", each)
    np.save(tmp_path / "c.npy", pixels.transpose(0, 3, 1, 2))
    labels = softmax(segmenter, pixels.transpose(0, 3, 1, 2)).argmax(1)
    inputs = [tmp_path / name for name in ("a.png", "b.png", "c.npy")]
    rows = document(kansearch, segmenter, *inputs, "-o", tmp_path / "masks")
    assert [Path(row["mask"]).name for row in rows] == ["a.png", "b.png", "c-0.png", "c-1.png"]
    for row, expected in zip(rows, [*labels, *labels], strict=True):
        assert (np.asarray(Image.open(row["mask"])) == expected).all()
        assert row["shares"] == {str(c): float((expected == c).mean()) for c in range(4)}
    alone = kansearch("predict", segmenter, inputs[0])
    most = int(np.bincount(labels[0].ravel()).argmax())
    assert alone.out.startswith(f"{inputs[0]}: {most} {(labels[0] == most).mean():.1%}")


def test_a_mask_is_never_written_over_an_image_or_another_mask(
    segmenter: Path, tmp_path: Path, kansearch: Command
) -> None:
    image = write_image(tmp_path / "a.png", np.zeros((12, 16, 3), np.uint8))
    before = image.read_bytes()
    assert "would be written over" in one_line(kansearch("predict", segmenter, image, "-o", tmp_path), 2)
    assert image.read_bytes() == before
    other = shutil.copy(image, write_image(tmp_path / "b" / "a.png", np.zeros((12, 16, 3), np.uint8)))
    told = one_line(kansearch("predict", segmenter, image, other, "-o", tmp_path / "masks"), 2)
    assert f"-o: the mask of {other} would be written over {tmp_path / 'masks' / 'a.png'}" in told


def test_options_for_another_kind_of_model_are_refused(
    model: Path, segmenter: Path, tmp_path: Path, kansearch: Command
) -> None:
    image = write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    told = one_line(kansearch("predict", model, image, "-o", tmp_path / "masks"), 2)
    assert "-o: this model has one class for each image" in told
    assert "--top: this model has a class for each pixel" in one_line(
        kansearch("predict", segmenter, image, "--top", 2), 2
    )


# -- what is wrong is told ----------------------------------------------------------------------------------------


class Malicious:
    def __reduce__(self) -> Any:
        return (Path("executed").touch, ())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.npy", pickle.dumps(Malicious()), "neither a .npy nor an .npz file"),
        ("x.npz", pickle.dumps(Malicious()), "neither a .npy nor an .npz file"),
        ("x.npz", b"PK\3\4broken", "not a readable file of numbers"),
        ("x.npy", b"\x93NUMPY\1\0", "not a readable file of numbers"),
        ("x.npy", b"", "neither a .npy nor an .npz file"),
        ("x.png", pickle.dumps(Malicious()), "not a readable image"),
        ("x.png", b"", "not a readable image"),
        ("notes.txt", b"hello", "not a readable image"),
    ],
)
def test_a_file_of_something_else_is_refused_and_never_executed(
    name: str, content: bytes, reason: str, model: Path, tmp_path: Path, kansearch: Command, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    told = one_line(kansearch("predict", model, tmp_path / name), 2)
    assert told.startswith(f"kansearch: {tmp_path / name}: ") and reason in told
    assert not (tmp_path / "executed").exists()


def test_pickled_objects_in_an_array_file_are_not_executed(
    model: Path, tmp_path: Path, kansearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", np.array([Malicious()], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([Malicious()], object))
    for name in ("x.npy", "x.npz"):
        told = one_line(kansearch("predict", model, tmp_path / name), 2)
        assert f"{name}: not a readable file of numbers" in told and "object" in told.lower()
    assert not (tmp_path / "executed").exists()


def test_truncated_and_missing_files_are_named(model: Path, tmp_path: Path, kansearch: Command) -> None:
    whole = write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8))
    whole.write_bytes(whole.read_bytes()[:60])
    assert "a.png: not a readable image: " in one_line(kansearch("predict", model, whole), 2)
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-9])
    assert "x.npy: not a readable file of numbers" in one_line(kansearch("predict", model, tmp_path / "x.npy"), 2)
    assert "b.png: no such file or folder" in one_line(kansearch("predict", model, tmp_path / "b.png"), 2)
    (tmp_path / "empty").mkdir()
    assert "empty: no images; looked for" in one_line(kansearch("predict", model, tmp_path / "empty"), 2)


def test_a_model_that_cannot_be_used_is_told(model: Path, tmp_path: Path, kansearch: Command) -> None:
    image = write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    assert "no such folder" in one_line(kansearch("predict", tmp_path / "nowhere", image), 1)
    broken = shutil.copytree(model / "seed-0", tmp_path / "model")
    (broken / "model.safetensors").write_bytes(pickle.dumps(Malicious()))
    assert "model.safetensors: not a readable file of weights" in one_line(kansearch("predict", broken, image), 1)
    (broken / "model.json").write_text(json.dumps({"format": 99}))
    assert "written by a newer kansearch, in format 99" in one_line(kansearch("predict", broken, image), 1)
