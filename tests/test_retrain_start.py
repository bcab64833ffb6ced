"""`--from`: a retraining starts from another one's weights, and may leave the features as they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kansearch.errors import InputError, KansearchError, SpaceError
from kansearch.models.start import check_start, started_from
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.space import load_config, parse_space
from tests.commandline import Command, kansearch_fixture, one_line
from trials import load_model
from trials.config import TrialConfig
from trials.measure.sizes import measure
from trials.models import build_network
from trials.saved.pretrained import load_pretrained
from trials.training.run import run_trial

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

DOCUMENT: dict[str, Any] = {
    "data": {"dataset": "digits", "limit": 300, "batch_size": 32},
    "model": {"depth": 2, "width": 6, "basis": {"name": "rbf", "grid_size": 4}},
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "epochs": 8,
}


def config_of(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate({**DOCUMENT, **changes})


@pytest.fixture(scope="module", name="first")
def first_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("first") / "model"
    retrain(Retraining(config_of(), out))
    return out


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "seed-0/model.safetensors"))


def test_training_starts_from_all_of_the_weights(first: Path, tmp_path: Path) -> None:
    config = started_from(config_of(epochs=1), first, "none")
    network = build_network(config)
    load_pretrained(config, network)
    assert all(torch.equal(each, weights_of(first)[name]) for name, each in network.state_dict().items())
    assert check_start(config) is None
    [cold] = run_trial(config_of(epochs=1), device="cpu")
    [warm] = run_trial(config, device="cpu")
    assert warm.train_loss < 0.7 * cold.train_loss
    out = tmp_path / "second"
    retrain(Retraining(config, out))
    assert config.start.weights is not None
    path, _, digest = config.start.weights.partition("@sha256:")
    assert Path(path) == first.resolve() / "seed-0/model.safetensors" and re.fullmatch("[0-9a-f]{64}", digest)
    assert load_config(out / "config.yaml") == config == load_model(out)[1]
    assert f"Training started from `{config.start.weights}`." in (out / "README.md").read_text()


def test_frozen_features_stay_as_they_are_with_their_statistics(first: Path, tmp_path: Path) -> None:
    config = started_from(config_of(epochs=2), first, "features")
    metrics = retrain(Retraining(config, tmp_path / "frozen"))
    before, after = weights_of(first), weights_of(tmp_path / "frozen")
    head = {name for name in before if name.startswith("head.")}
    assert any("running_mean" in name for name in before.keys() - head)
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - head)
    assert any(not torch.equal(before[name], after[name]) for name in head)
    trainable = [name for name in head if "running" not in name and "tracked" not in name]
    assert metrics["parameters"] == sum(before[name].numel() for name in trainable) == measure(config)["parameters"]
    assert "everything but the head stayed as it was" in (tmp_path / "frozen/README.md").read_text()
    assert load_model(tmp_path / "frozen")[1].start.freeze == "features"


def test_a_head_for_other_classes_stays_as_drawn_and_is_told(first: Path) -> None:
    data = {"dataset": "synthetic", "size": [8, 8], "channels": 1, "classes": 3, "batch_size": 32}
    config = started_from(config_of(data=data), first, "features")
    note = check_start(config)
    assert note is not None and note.endswith("does not fit this network: the head starts from random weights")
    torch.manual_seed(3)
    network = build_network(config)
    drawn = {name: each.clone() for name, each in network.state_dict().items()}
    load_pretrained(config, network)
    for name, each in network.state_dict().items():
        assert torch.equal(each, drawn[name] if name.startswith("head.") else weights_of(first)[name])


def test_a_network_of_another_shape_is_refused(first: Path) -> None:
    config = started_from(config_of(model={**DOCUMENT["model"], "width": 8}), first, "none")
    with pytest.raises(KansearchError, match=r"weights of another network .*: blocks\.0\.\S+ is \[6.* there, \[8"):
        check_start(config)


def test_a_damaged_model_is_refused_before_anything_is_trained(
    first: Path, tmp_path: Path, kansearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.yaml").write_text(json.dumps({"config": DOCUMENT}))

    def message(name: str, content: bytes, *options: str) -> str:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(first, tmp_path / "copy")
        (tmp_path / "copy/seed-0" / name).write_bytes(content)
        return one_line(kansearch("retrain", "best.yaml", "-o", "out", "--from", "copy", *options), 1)

    good = (first / "seed-0/model.safetensors").read_bytes()
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    assert "model.safetensors: not a readable file of weights" in message("model.safetensors", b"\x80\x04K\x01.")
    assert "not the weights that model.json describes" in message("model.safetensors", flipped)
    assert "model.json: not a readable file" in message("model.json", b"{")
    newer = {**json.loads((first / "seed-0/model.json").read_text()), "format": 99}
    assert "written by a newer kansearch, in format 99" in message("model.json", json.dumps(newer).encode())
    assert "no such folder" in one_line(kansearch("retrain", "best.yaml", "-o", "out", "--from", "nowhere"), 1)
    refused = one_line(kansearch("retrain", "best.yaml", "-o", "out", "--freeze", "features"), 2)
    assert "--freeze features goes with --from DIR" in refused
    assert not (tmp_path / "out").exists()


def test_a_space_may_search_from_a_trained_models_weights(first: Path) -> None:
    text = """
study: transfer
data: {dataset: digits}
model: {depth: 2, width: 6, basis: {name: rbf, grid_size: 4}}
start: {weights: model/seed-0/model.safetensors, freeze: {choice: [none, features]}}
"""
    space = parse_space(text, str(first.parent / "x.yaml"))
    assert space.overrides[0].startswith('start.weights="')
    assert parse_space(space.source, "elsewhere/x.yaml", space.overrides).tree == space.tree
    with pytest.raises(SpaceError, match=r"x\.yaml:5:18: start\.weights: nowhere\.safetensors: No such file"):
        parse_space(text.replace("model/seed-0/model", "nowhere"), str(first.parent / "x.yaml"))
    with pytest.raises(SpaceError, match=r"start: values that can be drawn do not go together: freeze=features needs"):
        parse_space(text.replace("weights: model/seed-0/model.safetensors, ", ""), "x.yaml")


def test_two_starts_are_one_too_many(first: Path) -> None:
    config = started_from(config_of(), first, "none")
    with pytest.raises(InputError, match="the configuration has a start of its own"):
        started_from(config, first, "none")
