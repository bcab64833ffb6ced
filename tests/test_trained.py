"""A trained model in a folder: it classifies samples as they are, and what is wrong with it is told before its use."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trials
from trials import load_model
from trials.config import TrialConfig
from trials.data.splits import load_test
from trials.saved.portable import write_portable
from trials.saved.prediction import Predictor
from trials.saved.trained import ModelError, describe_model
from trials.training.run import evaluate, run_trial
from trials.training.step import predict


def config(**changes: Any) -> TrialConfig:
    document = {
        "data": {"dataset": "digits", "limit": 200, "batch_size": 32},
        "model": {"depth": 2, "width": 4, "basis": {"name": "bspline", "grid_size": 3}},
        "epochs": 1,
        **changes,
    }
    return TrialConfig.model_validate(document)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    weights, checkpoint = folder / "model.safetensors", folder / "checkpoint.pt"
    list(run_trial(config(), device="cpu", weights=weights, checkpoint=checkpoint, hold_out=False))
    describe_model(config(), folder)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoilt."""
    return shutil.copytree(trained, tmp_path / "model")


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**manifest, **changes}))


def test_a_loaded_model_gives_the_logits_that_were_measured(trained: Path) -> None:
    model, loaded = load_model(trained)
    assert loaded == config()
    assert not model.training
    split = load_test(config().data, torch.device("cpu"))
    with torch.no_grad():
        logits = model(split.images)
    torch.testing.assert_close(logits, predict(model.network, split))
    accuracy = (logits.argmax(1) == split.labels).double().mean().item()
    assert accuracy == pytest.approx(evaluate(config(), trained / "checkpoint.pt", device="cpu")["accuracy"])
    assert model.classes == tuple("0123456789")


def test_a_model_knows_the_pixels_that_it_was_trained_with(tmp_path: Path) -> None:
    """In its folder, in a file of another program and in what is asked of it: everywhere bytes are given."""
    own = config(data={"dataset": "digits", "limit": 200, "batch_size": 32, "pixels": "symmetric"})
    weights, checkpoint = tmp_path / "model.safetensors", tmp_path / "checkpoint.pt"
    list(run_trial(own, device="cpu", weights=weights, checkpoint=checkpoint, hold_out=False))
    describe_model(own, tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text())
    assert (manifest["mean"], manifest["std"]) == ([127.5], [127.5])
    split = load_test(own.data, torch.device("cpu"))
    model, _ = load_model(tmp_path)
    with torch.no_grad():
        logits = model(split.images)
    torch.testing.assert_close(logits, predict(model.network, split))
    accuracy = (logits.argmax(1) == split.labels).double().mean().item()
    assert accuracy == pytest.approx(evaluate(own, checkpoint, device="cpu")["accuracy"])
    asked = Predictor(tmp_path, "cpu").probabilities(split.images.numpy())
    torch.testing.assert_close(torch.from_numpy(asked), logits.softmax(1))
    (program,) = write_portable(tmp_path, ["torch"])
    torch.testing.assert_close(torch.export.load(program).module()(split.images[:7].float()), logits[:7])


def test_of_a_folder_with_seeds_the_first_is_loaded(trained: Path, tmp_path: Path) -> None:
    for seed in (10, 9):
        shutil.copytree(trained, tmp_path / f"seed-{seed}")
    rewrite(tmp_path / "seed-9", classes=list("abcdefghij"))
    assert load_model(tmp_path)[0].classes == tuple("abcdefghij")
    assert load_model(str(tmp_path / "seed-10"))[0].classes == tuple("0123456789")


def test_images_and_their_folders_names_are_kept(tmp_path: Path) -> None:
    from tests.datafiles import write_folder

    data = write_folder(tmp_path / "data")
    own = config(data={"dataset": "imagefolder", "image_size": 16, "classes": 2, "batch_size": 8})
    list(run_trial(own, device="cpu", data_dir=data, weights=tmp_path / "model.safetensors", hold_out=False))
    describe_model(own, tmp_path, data)
    assert load_model(tmp_path)[0].classes == ("cat", "dog")


# -- what is wrong is told ----------------------------------------------------------------------------------------


class Malicious:
    def __reduce__(self) -> Any:
        return (Path("executed").touch, ())


def test_a_pickle_that_poses_as_weights_is_not_executed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(ModelError, match=r"model\.safetensors: not a readable file of weights"):
        load_model(folder)
    torch.save({"state": np.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors: not a readable file of weights"):
        load_model(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_weights_that_are_cut_short_are_refused(folder: Path, cut: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"model\.safetensors: not a readable file of weights"):
        load_model(folder)


def test_a_flipped_bit_in_the_weights_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"not the weights that model\.json describes"):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    wider = {**config().model_dump(mode="json")["model"], "width": 5}
    rewrite(folder, config={**config().model_dump(mode="json"), "model": wider})
    with pytest.raises(ModelError, match="weights of another network than the configuration's"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 5}, "written by a newer kansearch, in format 5; this one reads format 4"),
        ({"format": 1}, "written by an earlier kansearch, in format 1, whose networks had other blocks; train the"),
        ({"format": 2}, "written by an earlier kansearch, in format 2, whose networks had other blocks; train the"),
        ({"format": "1"}, "not a model that kansearch wrote"),
        (
            {"config": {"data": {"dataset": "digits"}, "model": {"depths": 2}}},
            r"config\.model\.plain\.depths: .*another version",
        ),
        ({"config": None}, "was it written by another version"),
        ({"mean": [1.0, 2.0]}, "mean and std are not of 1 channels"),
        ({"mean": "high"}, "not a model that"),
        ({"classes": ["a"]}, "1 names of 10 classes"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(folder: Path, changes: dict[str, Any], reason: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=reason):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json: not a"):
        load_model(folder)


def test_a_folder_without_a_model_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained model there; `kansearch retrain CONFIG -o "):
        load_model(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        load_model(tmp_path / "nowhere")


def test_the_package_offers_load_model_and_nothing_else() -> None:
    assert trials.__all__ == ["load_model"]
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = trials.load_modle  # type: ignore[attr-defined]
