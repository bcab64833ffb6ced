"""Features that are trained, kept, and given another classifier: from YAML alone, on real images."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kansearch.errors import SpaceError
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.space import load_config, load_space, parse_space, random_config
from kansearch.study.study import Study
from trials.config import TrialConfig
from trials.measure.sizes import measure
from trials.saved.pretrained import load_pretrained
from trials.saved.weights import WeightsError
from trials.training.run import evaluate, run_trial

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ALEXNET = """
config:
  data: {dataset: digits, limit: 600, batch_size: 32}
  model: {family: alexnet, width: 8, normalization: batch, hidden: 32, hidden_layers: 1}
  optimizer: {name: adamw, lr: 0.01}
  epochs: 6
"""
TRANSFER = """
study: transfer
data: {dataset: digits, limit: 600, validation: 0.2, batch_size: 32}
model:
  family: alexnet
  width: 8
  normalization: batch
  features: frozen
  pretrained: first/seed-0/model.safetensors
  classifier: kan
  classifier_basis: {name: fourier, grid_size: {int: [2, 4]}}
  base_branch: false
  hidden: 8
  hidden_layers: 1
  classifier_dropout: 0.0
optimizer: {name: adamw, lr: 0.01}
epochs: 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `transfer.yaml`, and the AlexNet whose features it names."""
    folder = tmp_path_factory.mktemp("transfer")
    (folder / "alexnet.yaml").write_text(ALEXNET)
    (folder / "transfer.yaml").write_text(TRANSFER)
    retrain(Retraining(load_config(folder / "alexnet.yaml"), folder / "first"))
    return folder


@pytest.fixture
def config(folder: Path) -> TrialConfig:
    return random_config(load_space(folder / "transfer.yaml"), Random(0))


def features_of(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: each for name, each in weights.items() if name.startswith("features.")}


def test_a_kan_classifier_learns_on_frozen_features_which_stay_as_they_were(
    folder: Path, config: TrialConfig, tmp_path: Path
) -> None:
    results = [*run_trial(config, checkpoint=tmp_path / "checkpoint.pt", device="cpu")]
    before = features_of(load_file(folder / "first/seed-0/model.safetensors"))
    after = features_of(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["model"])
    assert any("running_mean" in name for name in before)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    grid_size = config.model.classifier_basis.grid_size  # type: ignore[union-attr]
    norms = 2 * (32 + 8)
    assert results[-1].parameters == 2 * grid_size * (32 * 8 + 8 * 10) + 18 + norms == measure(config)["parameters"]
    assert results[-1].accuracy is not None and results[-1].accuracy > 0.6
    assert evaluate(config, tmp_path / "checkpoint.pt", device="cpu")["accuracy"] > 0.6


def test_random_features_instead_would_do_worse(config: TrialConfig) -> None:
    """So that the test above is one of the features."""
    model = config.model.model_copy(update={"features": "trained", "pretrained": None})
    [first] = run_trial(config.model_copy(update={"model": model, "epochs": 1}), device="cpu")
    [frozen] = run_trial(config.model_copy(update={"epochs": 1}), device="cpu")
    assert frozen.train_loss < first.train_loss


def test_an_interrupted_transfer_goes_on_with_the_same_numbers_without_the_file(
    folder: Path, config: TrialConfig, tmp_path: Path
) -> None:
    def numbers(results: Any) -> list[tuple[Any, ...]]:
        return [(each.epoch, each.train_loss, each.accuracy) for each in results]

    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((folder / "first/seed-0/model.safetensors").read_bytes())
    _, _, digest = config.model.pretrained.rpartition("@")  # type: ignore[union-attr]
    config = config.model_copy(update={"model": config.model.model_copy(update={"pretrained": f"{copy}@{digest}"})})
    whole = numbers(run_trial(config, device="cpu"))
    trial = run_trial(config, checkpoint=tmp_path / "checkpoint.pt", device="cpu")
    next(trial), next(trial)
    trial.close()  # type: ignore[attr-defined]
    copy.unlink()
    assert numbers(run_trial(config, checkpoint=tmp_path / "checkpoint.pt", device="cpu")) == whole


def test_weights_are_pinned_when_the_space_is_read_and_stay_so_in_the_study(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = load_space(folder / "transfer.yaml")
    pinned = space.tree["model"]["pretrained"]  # type: ignore[index]
    assert pinned.startswith(f"{folder}/first/seed-0/model.safetensors@sha256:")
    monkeypatch.chdir(folder)
    assert load_space(Path("transfer.yaml")).tree == space.tree
    study = Study.create(tmp_path / "studies", load_space(Path("transfer.yaml")))
    monkeypatch.chdir(tmp_path)
    assert Study.open(tmp_path / "studies", study.name).space.tree == space.tree
    given = load_space(folder / "transfer.yaml", ["model.pretrained=" + pinned])
    assert (given.tree, given.overrides) == (space.tree, ("model.pretrained=" + pinned,))


def test_weights_may_be_a_choice_and_stand_in_a_choice_between_families(folder: Path) -> None:
    text = TRANSFER.replace("first/seed-0/model.safetensors", "{choice: [first/seed-0/model.safetensors, null]}")
    space = parse_space(text.replace("frozen", "trained"), str(folder / "x.yaml"))
    again = parse_space(space.source, "elsewhere/x.yaml", space.overrides)
    assert space.tree == again.tree and len(space.overrides) == 1
    body = "{choice: [{family: alexnet, pretrained: first/seed-0/model.safetensors}, {family: plain}]}"
    space = parse_space(f"study: s\ndata: {{dataset: digits}}\nmodel: {body}\n", str(folder / "x.yaml"))
    assert parse_space(space.source, "elsewhere/x.yaml", space.overrides).tree == space.tree


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("nowhere.safetensors", r"x\.yaml:9:15: model\.pretrained: nowhere\.safetensors: No such file or directory"),
        ("alexnet.yaml", r"alexnet\.yaml: must be a \.safetensors file, such as"),
        ("null", "features=frozen needs `pretrained`"),
    ],
)
def test_what_cannot_be_pinned_is_said_at_its_place(folder: Path, given: str, reason: str) -> None:
    with pytest.raises(SpaceError, match=reason) as caught:
        parse_space(TRANSFER.replace("first/seed-0/model.safetensors", given), str(folder / "x.yaml"))
    assert len(caught.value.issues) == 1


def test_weights_that_changed_are_missing_or_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    good = load_file(folder / "first/seed-0/model.safetensors")

    def message(tensors: dict[str, torch.Tensor], change: bool = False) -> str:
        save_file(tensors, tmp_path / "w.safetensors")
        text = TRANSFER.replace("first/seed-0/model.safetensors", str(tmp_path / "w.safetensors"))
        config = random_config(parse_space(text, "x.yaml"), Random(0))
        if change:
            save_file({**tensors, "more": torch.ones(1)}, tmp_path / "w.safetensors")
        with pytest.raises(WeightsError) as caught:
            next(run_trial(config, device="cpu"))
        return str(caught.value)

    assert "w.safetensors has changed: its SHA-256 is" in message(good, change=True)
    name = "features.0.0.weight"
    other = message({**good, name: torch.ones(9, 1, 3, 3)})
    assert f"{name} is [9, 1, 3, 3] there, [8, 1, 3, 3] in this network" in other
    assert f"{name} is nothing there" in message({key: each for key, each in good.items() if key != name})
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"no safetensors")
    text = TRANSFER.replace("first/seed-0/model.safetensors", str(file))
    config = random_config(parse_space(text, "x.yaml"), Random(0))
    with pytest.raises(WeightsError, match="not a readable file of weights"):
        next(run_trial(config, device="cpu"))
    file.unlink()
    with pytest.raises(WeightsError, match="every machine must see that file"):
        next(run_trial(config, device="cpu"))


def test_a_network_without_pretrained_weights_is_left_alone() -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}})
    network = torch.nn.Linear(1, 1)
    before = network.weight.clone()
    load_pretrained(config, network)
    assert torch.equal(network.weight, before)
