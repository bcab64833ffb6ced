"""Regression: losses and figures against scikit-learn, in the target's own units, and trials that learn numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from sklearn import metrics as oracle

from kansearch.engine.quantiles import parts
from kansearch.errors import SpaceError
from kansearch.report.hyperparameters import scale_of
from kansearch.report.scales import Names
from kansearch.space import Choice, SearchSpace, parse_space
from kansearch.study.figures import describe, number
from kansearch.study.objectives import costs
from trials.config import LossConfig, TrialConfig
from trials.data import loader
from trials.data.loader import epoch_seed, seed_generators, training_batches, training_order
from trials.data.shape import DataShape
from trials.data.splits import Split, Targets, load_training, random_split
from trials.measure.memory import estimate_memory
from trials.measure.regression import SCORES, loss_of, predict_numbers, regression_metrics, regression_scores
from trials.measure.sizes import count_sizes
from trials.measure.timing import epoch_work
from trials.metrics import METRICS
from trials.models import build_network
from trials.training import evaluate, run_trial, time_inference, time_step
from trials.training.step import working_precision

LOSS: TypeAdapter[Any] = TypeAdapter(LossConfig)
SPECIAL = {"dataset": "special", "special": "ellipeinc", "samples": 200, "test_samples": 50, "batch_size": 32}


def config_of(**fields: Any) -> TrialConfig:
    model = {"family": "mlp", "depth": 1, "width": 4, "basis": {"name": "gram"}}
    optimizer = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.0}
    return TrialConfig.model_validate(
        {"data": SPECIAL, "model": model, "optimizer": optimizer, "epochs": 3, "schedule": "constant", **fields}
    )


def split_of(outputs: int = 2, rows: int = 40) -> Split:
    torch.manual_seed(0)
    mean, std = torch.randn(outputs).double() * 10, torch.rand(outputs).double() * 5 + 0.1
    labels = torch.randn(rows, outputs, dtype=torch.float64)
    x = torch.zeros(rows, 1, dtype=torch.float64)
    return Split(x, labels, torch.zeros(1).double(), torch.ones(1).double(), targets=Targets(mean, std, ("a", "b")))


def test_losses_are_those_of_their_names() -> None:
    """Against loops over numbers."""
    y, t = torch.randn(6, 2), torch.randn(6, 2)
    pairs = [(float(a), float(b)) for a, b in zip(y.ravel(), t.ravel(), strict=True)]
    huber = [0.5 * (b - a) ** 2 if abs(b - a) <= 0.7 else 0.7 * (abs(b - a) - 0.35) for a, b in pairs]
    expected = {
        "mse": np.mean([(b - a) ** 2 for a, b in pairs]),
        "mae": np.mean([abs(b - a) for a, b in pairs]),
        "huber": np.mean(huber),
        "quantile": oracle.mean_pinball_loss(t.ravel(), y.ravel(), alpha=0.2),
    }
    fields: dict[str, dict[str, float]] = {"huber": {"delta": 0.7}, "quantile": {"quantile": 0.2}}
    for name, value in expected.items():
        config = LOSS.validate_python({"name": name, **fields.get(name, {})})
        assert float(loss_of(y, t, config)) == pytest.approx(value, rel=1e-5), name
        assert loss_of(y, t.double(), config).dtype == torch.float32


def test_figures_are_scikit_learns_in_the_targets_units() -> None:
    split = split_of()
    outputs = split.labels + 0.3 * torch.randn(40, 2, dtype=torch.float64)
    assert split.targets is not None
    truth, guess = ((each * split.targets.std + split.targets.mean).numpy() for each in (split.labels, outputs))
    found = dict(
        zip(SCORES, regression_scores(outputs, split, LOSS.validate_python({"name": "mae"})).tolist(), strict=True)
    )
    assert found["rmse"] == pytest.approx(np.sqrt(oracle.mean_squared_error(truth, guess)))
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(truth, guess))
    assert found["r2"] == pytest.approx(oracle.r2_score(truth, guess))
    scaled = (truth - guess) / split.targets.std.numpy()
    assert found["nrmse"] == pytest.approx(np.sqrt((scaled**2).mean()))
    assert found["validation_loss"] == pytest.approx(np.abs(scaled).mean())
    whole = regression_metrics(outputs.numpy(), split, LOSS.validate_python({"name": "mse"}))
    assert {name: whole[name] for name in SCORES[1:]} == pytest.approx({name: found[name] for name in SCORES[1:]})
    for index, row in enumerate(whole["per_target"]):
        assert row["target"] == "ab"[index]
        assert row["rmse"] == pytest.approx(np.sqrt(oracle.mean_squared_error(truth[:, index], guess[:, index])))
        assert row["r2"] == pytest.approx(oracle.r2_score(truth[:, index], guess[:, index]))
    with pytest.raises(ValueError, match="not finite"):
        regression_metrics(np.full((40, 2), np.nan), split, LOSS.validate_python({"name": "mse"}))


def test_the_mean_has_an_nrmse_of_one_where_it_was_trained() -> None:
    split, _ = load_training(config_of().data, torch.device("cpu"), hold_out=False)
    zeros = torch.zeros_like(split.labels)
    scores = dict(zip(SCORES, regression_scores(zeros, split, config_of().loss).tolist(), strict=True))
    assert scores["nrmse"] == pytest.approx(1) and scores["r2"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", ["mse", "mae", {"name": "huber", "delta": 0.5}, {"name": "quantile", "quantile": 0.9}])
@pytest.mark.parametrize("precision", ["auto", "float64"])
def test_a_trial_learns_numbers(loss: Any, precision: str, tmp_path: Path) -> None:
    loss = {"name": loss} if isinstance(loss, str) else loss
    config = config_of(loss=loss, precision=precision, epochs=12)
    results = list(run_trial(config, device="cpu", checkpoint=tmp_path / "c.pt"))
    first, last = results[0], results[-1]
    assert last.accuracy is None and last.mean_iou is None and last.nrmse is not None and first.nrmse is not None
    assert last.train_loss < first.train_loss and last.nrmse < 0.7
    test = evaluate(config, tmp_path / "c.pt", device="cpu")
    assert test["images"] == 50 and test["nrmse"] < 0.9 and test["per_target"][0]["target"] == "value"
    assert time_inference(config, tmp_path / "c.pt", device="cpu")["precision"] == (
        "float64" if precision == "float64" else "float32"
    )


def test_a_quantile_is_where_that_share_lies_below() -> None:
    data = {
        **SPECIAL,
        "dataset": "formula",
        "formula": "x",
        "variables": ["x in [0, 1]"],
        "noise": 1.0,
        "samples": 1000,
    }
    del data["special"]
    config = config_of(data=data, loss={"name": "quantile", "quantile": 0.9}, epochs=15)
    split, _ = load_training(config.data, torch.device("cpu"), hold_out=False)
    torch.manual_seed(0)
    from trials.models import build_network
    from trials.training.loop import train
    from trials.training.optim import build_optimizer

    model = build_network(config)
    for _ in train(config, model, build_optimizer(config.optimizer, model), split, None, sizes={}):
        pass
    below = (split.labels < predict_numbers(model, split, 512)).double().mean()
    assert below == pytest.approx(0.9, abs=0.03)


def test_resuming_gives_the_same_numbers_as_going_on(tmp_path: Path) -> None:
    config = config_of(epochs=4, precision="float64")
    whole = [each.nrmse for each in run_trial(config, device="cpu")]
    trial = run_trial(config, device="cpu", checkpoint=tmp_path / "c.pt")
    assert [next(trial).nrmse, next(trial).nrmse] == whole[:2]
    trial.close()
    assert [each.nrmse for each in run_trial(config, device="cpu", checkpoint=tmp_path / "c.pt")] == whole


def test_what_a_checkpoint_was_trained_on_standardises_its_test(tmp_path: Path) -> None:
    """A network that held a part out saw other means than one that did not."""
    from trials.training.run import _trained

    for hold_out in (True, False):
        path = tmp_path / f"{hold_out}.pt"
        list(run_trial(config_of(), device="cpu", checkpoint=path, hold_out=hold_out))
        _, test = _trained(config_of(), path, None, "cpu")
        trained, _ = load_training(config_of().data, torch.device("cpu"), hold_out=hold_out)
        assert torch.equal(test.mean, trained.mean)
        assert test.targets is not None and trained.targets is not None
        assert torch.equal(test.targets.std, trained.targets.std)


def test_tables_with_classes_are_trained_as_images_are() -> None:
    config = config_of(data={"dataset": "iris", "batch_size": 16}, epochs=20)
    last = list(run_trial(config, device="cpu"))[-1]
    assert last.accuracy is not None and last.accuracy > 0.8 and last.nrmse is None
    assert epoch_work(config).batch == 16 and time_step(config, device="cpu").seconds > 0


def test_streaming_and_parts_change_no_number() -> None:
    """Batches that are read ahead, and that pass in parts, give what a batch at once gives."""
    config = config_of(precision="float64")
    plain = [each.nrmse for each in run_trial(config, device="cpu")]
    assert [each.nrmse for each in run_trial(config, device="cpu", streamed=True)] == plain
    parts = config.model_copy(update={"accumulate": 2, "data": config.data.model_copy(update={"batch_size": 16})})
    assert [each.nrmse for each in run_trial(parts, device="cpu")] == pytest.approx(plain, rel=1e-9)


def test_random_rows_have_the_shape_of_a_task() -> None:
    cpu = torch.device("cpu")
    numbers = random_split(DataShape(3, (), 2, regression=True), 5, cpu)
    assert numbers.images.shape == (5, 3) and numbers.labels.shape == (5, 2) and numbers.targets is not None
    classes = random_split(DataShape(3, (), 4), 5, cpu)
    assert classes.labels.shape == (5,) and classes.targets is None and not classes.dense


def test_precision_is_enough_for_numbers() -> None:
    assert working_precision(config_of().numbers, torch.device("cuda")) == torch.float32
    assert working_precision(config_of(precision="float64").numbers, torch.device("cuda")) == torch.float64
    with pytest.raises(ValueError, match="bfloat16 has two digits, too few for a regression"):
        config_of(precision="bfloat16")
    with pytest.raises(ValueError, match="float64 is for the family mlp, not plain"):
        TrialConfig.model_validate({"data": {"dataset": "digits"}, "precision": "float64"})


def test_float64_takes_twice_the_memory_of_weights() -> None:
    wide = {"family": "mlp", "depth": 2, "width": 400, "basis": {"name": "none"}}
    single, double = (estimate_memory(config_of(model=wide, precision=each), "cpu") for each in ("float32", "float64"))
    assert 1.8 < double / single < 2.1


def space_of(data: str, objectives: str = "") -> SearchSpace:
    return parse_space(f"study: s\ndata: {data}\nmodel: {{family: mlp}}\n{objectives}", "my.yaml")


def test_objectives_are_those_of_the_task() -> None:
    assert space_of("{dataset: special, special: jv}").objectives == {"nrmse": "minimize", "parameters": "minimize"}
    assert space_of("iris").objectives == {"accuracy": "maximize", "parameters": "minimize"}
    given = space_of("diabetes", "objectives: {r2: maximize, mae: minimize}").objectives
    assert given == {"r2": "maximize", "mae": "minimize"}


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        ("diabetes", "accuracy", "diabetes asks for numbers, not classes; minimize nrmse instead"),
        ("diabetes", "validation_loss", "not classes; minimize nrmse instead"),
        ("iris", "rmse", "iris asks for classes, not numbers; maximize accuracy instead"),
    ],
)
def test_objectives_of_another_task_are_refused_with_the_way_out(data: str, name: str, message: str) -> None:
    with pytest.raises(SpaceError, match=rf"my.yaml:4:\d+: objectives.{name}: .*{message}"):
        space_of(data, f"objectives: {{{name}: minimize}}")


def test_other_families_are_refused_with_their_place() -> None:
    with pytest.raises(SpaceError, match=r"my.yaml:3:17: model.family: model.family=vgg takes images or signals"):
        parse_space("study: s\ndata: iris\nmodel: {family: vgg}\n", "my.yaml")


def test_eight_decades_of_nrmse_are_the_box() -> None:
    values = {1.0: 1.0, 1e-4: 0.5, 1e-8: 0.0, 1e-12: 0.0, 50.0: 1.0, 0.0: 0.0}
    for nrmse, cost in values.items():
        assert costs({"nrmse": "minimize"}, {"nrmse": nrmse}) == pytest.approx([cost])
    assert METRICS["nrmse"].logarithmic and METRICS["nrmse"].on_test == "test_nrmse"


def test_figures_of_any_size_are_written_with_four_digits() -> None:
    assert number("nrmse", 1.23456e-05) == "1.235e-05" and number("test_rmse", 12345.6) == "1.235e+04"
    assert number("r2", 0.98765) == "0.9877" and number("accuracy", 0.5) == "0.5000"


def test_networks_of_vectors_are_described_by_their_nodes() -> None:
    model = {"family": "mlp", "basis": {"name": "gram", "degree": 2}}
    told = [describe(config_of(model={**model, **more})) for more in _SHAPES]
    assert told == [f"mlp gram(2) {shape} adamw" for shape in ("2x8", "8-4", "1x6*2")]


_SHAPES: tuple[dict[str, Any], ...] = ({}, {"widths": [8, 4]}, {"depth": 1, "width": 6, "multiply": 2})


def test_batches_of_rows_are_normalised_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_training(config_of(data={"dataset": "diabetes"}).data, torch.device("cpu"))[0]
    whole = list(training_batches(split, 30, "none", 5, 2))
    monkeypatch.setattr(loader, "_ROWS_AT_ONCE", 70)
    parts = list(training_batches(split, 30, "none", 5, 2))
    order = training_order(len(split), 30, torch.Generator().manual_seed(epoch_seed(5, 2)))
    assert len(whole) == len(parts) == len(order)
    for chosen, *pairs in zip(order, whole, parts, strict=True):
        for samples, targets in pairs:
            assert torch.equal(samples, split.normalised(split.images[chosen]))
            assert torch.equal(targets, split.labels[chosen])


def test_a_trial_on_a_cpu_seeds_the_generator_that_it_uses() -> None:
    drawn = []
    torch.manual_seed(17)
    drawn.append(torch.rand(5))
    seed_generators(17, torch.device("cpu"))
    drawn.append(torch.rand(5))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("basis", ["bspline", "gram", "none", "power_mlp", "spline_activation", "rational"])
def test_a_network_that_is_there_has_the_counts_of_one_that_is_not(basis: str) -> None:
    config = config_of(model={"family": "mlp", "depth": 2, "width": 4, "basis": {"name": basis}, "dropout": 0.5})
    network = build_network(config)
    before = torch.random.get_rng_state()
    assert count_sizes(config, network) == count_sizes(config)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_all_rows_a_step_are_written_as_they_are_named() -> None:
    config = config_of(data={**SPECIAL, "batch_size": "all"})
    written = config.model_dump(mode="json")
    assert written["data"]["batch_size"] == "all" and TrialConfig.model_validate(written) == config
    assert config.data.batch_size > 10**6 and config.model_dump()["data"]["batch_size"] == config.data.batch_size
    options = Choice((32, config.data.batch_size))
    assert [label for label, _ in parts(options)] == ["32", "all"]
    scale = scale_of(options, [32])
    assert isinstance(scale, Names) and list(scale.labels) == ["32", "all"]
