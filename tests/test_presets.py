"""Published networks: the same parameters, or a word why not; launched, enqueued and retrained by their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from kansearch.errors import SpaceError
from kansearch.models.presets import preset_config, preset_rows
from kansearch.space import parse_space
from kansearch.study.figures import describe
from tests.commandline import Command, kansearch_fixture, one_line
from trials.config import DENSE_FAMILIES, TrialConfig
from trials.data.shape import DataShape
from trials.kan import KANConv2d
from trials.models import MODELS, build_model
from trials.presets import PRESETS

__all__ = ["kansearch_fixture"]

EXACT = {
    "cnn-small": 1_540, "cnn-medium": 3_020, "cnn-medium-more-convs": 6_930, "cnn-big": 26_620,
    "kanc-mlp-small-gs10": 5_310, "kanc-mlp-small-gs20": 8_010,
    "kanc-mlp-medium-gs10": 9_935, "kanc-mlp-medium-gs20": 14_885,
    "kanc-mlp-big-gs10": 33_535, "kanc-mlp-big-gs20": 38_485,
    "kkan-small-gs10": 22_800, "kkan-small-gs20": 38_000,
    "kkan-medium-gs10": 44_925, "kkan-medium-gs20": 74_875,
    "conv-kan-small-gs10": 19_030, "conv-kan-small-gs20": 31_530,
    "conv-kan-medium-gs10": 38_010, "conv-kan-medium-gs20": 63_010,
    "alexnet": 35_855_178, "alexnet-fourierkan": 7_996_094,
    "simple-conv-4-mnist": 101_066, "simple-conv-8-mnist": 1_140_714,
    "simple-kan-4-mnist": 3_488_814, "simple-kan-8-mnist": 40_690_466,
    "simple-fastkan-4-mnist": 3_488_810, "simple-fastkan-8-cifar10": 40_695_584,
    "simple-kaln-4-cifar10": 1_943_210, "simple-kaln-8-cifar10": 22_613_082,
    "simple-kacn-4-cifar10": 1_555_274, "simple-kacn-8-cifar10": 18_092_202,
}  # fmt: skip
"""Published counts that ours must equal."""
SMALL = (
    "kanc-mlp-small-gs10",
    "kkan-small-gs10",
    "conv-kan-small-gs10",
    "cnn-big",
    "ckan-bn-gs10",
    "simple-conv-4-mnist",
)
"""Networks of each kind that train in a moment; the others are tried with -m slow."""
DENSE = {name for name, preset in PRESETS.items() if preset.config.family in DENSE_FAMILIES}
NETWORKS = [
    pytest.param(name, marks=() if name in SMALL else pytest.mark.slow) for name in PRESETS if name not in DENSE
]

Rows = dict[str, dict[str, Any]]
SPACE = "study: s\ndata: {dataset: mnist}\nmodel: %s\n"


@pytest.fixture(scope="module")
def rows() -> Rows:
    return {row["name"]: row for row in preset_rows()}


def test_there_are_the_published_networks_of_every_kind(rows: Rows) -> None:
    assert rows.keys() == PRESETS.keys() == {preset.name for preset in PRESETS.values()}
    assert sum(row["model"]["family"] == "kanc" and "accuracy" in row["published"] for row in rows.values()) == 18
    assert sum(name.startswith("simple-") for name in rows) == 8 * 2 * 2 + 1
    assert {row["model"]["family"] for row in rows.values()} <= MODELS.keys()
    assert all(row["source"] for row in rows.values())


@pytest.mark.parametrize("name", PRESETS)
def test_its_parameters_are_the_published_ones_or_it_is_said_why_not(name: str, rows: Rows) -> None:
    row = rows[name]
    published = row["published"].get("parameters")
    assert row["parameters"] == published or row["explanation"]
    if name in EXACT:
        assert row["parameters"] == published == EXACT[name]


def test_the_explained_differences_are_those_that_are_counted(rows: Rows) -> None:
    def missing(name: str) -> int:
        return int(rows[name]["published"]["parameters"] - rows[name]["parameters"])

    assert [missing(f"simple-kagn-{depth}-{data}") for depth in (4, 8) for data in ("mnist", "cifar10")] == [
        4 * 4, 4 * 4, 8 * 4, 8 * 4,
    ]  # fmt: skip
    first_layer = 3 * 32 * 45 - (3 * 32 * 9 + 3 * 3 + 3 * 32 + 3 * 3 * 4 * 9)
    assert -missing("simple-bottleneck-kagn-4-cifar10") == first_layer + 2 * (16 + 32 + 64) - 4 * 4
    assert rows["vgg11-gram-bottleneck"]["parameters"] == 9_504_211 - 1_455 + 6_048 - 10 * 6


@pytest.mark.parametrize("name", NETWORKS)
def test_it_takes_a_step_and_gives_the_same_outputs_from_saved_weights(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    channels, height, width, _ = preset.shape
    side = (64, 64) if height > 64 else (height, width)
    shape = DataShape(channels, side, 10)
    torch.manual_seed(0)
    model = build_model(preset.config, shape)
    images, labels = torch.randn(4, channels, *side), torch.arange(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = [p for p in model.parameters() if p.dim() > 1]
    before = [p.detach().clone() for p in weights]
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    assert loss.isfinite() and not any(map(torch.equal, before, weights))
    save_file({key: each.contiguous().clone() for key, each in model.state_dict().items()}, tmp_path / "m.safetensors")
    again = build_model(preset.config, shape)
    again.load_state_dict(load_file(tmp_path / "m.safetensors"))
    assert torch.equal(model.eval()(images), again.eval()(images))


def test_sixteen_convolutions_have_the_published_channels_and_strides() -> None:
    model = build_model(PRESETS["simple-kagn-16-cifar100"].config, DataShape(3, (32, 32), 100))
    convolutions = [each for each in model.modules() if isinstance(each, KANConv2d)]
    assert [each.out_channels // 8 for each in convolutions] == [1, 1, 2, 2, 4, 4, 8, 8] + [16] * 4 + [32] * 4
    assert [i for i, each in enumerate(convolutions, 1) if each.stride == (2, 2)] == [2, 4, 8]


@pytest.mark.parametrize("depth", [4, 8, 12, 16])
def test_a_simple_network_of_each_depth_is_built(depth: int) -> None:
    config = config_of(f"{{family: simple, depth: {depth}, width: 2, basis: {{name: gram, degree: 1}}}}").model
    model = build_model(config, DataShape(1, (28, 28), 10))
    assert sum(isinstance(each, KANConv2d) for each in model.modules()) == depth
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("kkan-small-gs10", "symmetric"), ("cnn-big", "symmetric"), ("simple-kan-4-mnist", "symmetric"),
     ("ckan-bn-gs10", "symmetric"), ("vgg11-gram", "standard"), ("unet", "standard")],
)  # fmt: skip
def test_it_is_retrained_with_the_pixels_it_was_published_with(name: str, pixels: str, rows: Rows) -> None:
    assert rows[name]["pixels"] == PRESETS[name].pixels == pixels
    if name != "vgg11-gram" and name != "unet":
        assert preset_config(name, None).data.pixels == preset_config(name, "digits").data.pixels == pixels


# -- in a search space ---------------------------------------------------------------------------------------------


def config_of(model: str, *overrides: str) -> TrialConfig:
    tree: Any = parse_space(SPACE % model, "f", overrides).tree
    return TrialConfig.model_validate(tree)


@pytest.mark.parametrize("name", PRESETS)
def test_a_space_may_name_it(name: str) -> None:
    data = ("data={dataset: synthetic, dense: true}",) if name in DENSE else ()
    assert config_of(f"{{preset: {name}}}", *data).model == PRESETS[name].config


def test_networks_of_a_class_for_each_pixel_are_near_the_published_counts(rows: Rows) -> None:
    assert rows["u2net"]["parameters"] == pytest.approx(44_009_869, rel=1e-3)
    assert rows["u2net-small"]["parameters"] == pytest.approx(1_131_181, rel=3e-3)


def test_what_stands_beside_its_name_is_put_in_its_place() -> None:
    own = PRESETS["kkan-small-gs10"].document()
    changed = config_of("{width: 7, preset: kkan-small-gs10, basis: {grid_size: 5}, classifier_basis: null}").model
    basis = {**own["basis"], "grid_size": 5}
    assert changed.model_dump() == {**own, "width": 7, "basis": basis, "classifier_basis": None}
    other = config_of("{preset: kkan-small-gs10, basis: {name: gram}, classifier_basis: gram}").model
    assert (other.basis.name, other.basis.degree) == ("gram", 3)  # type: ignore[union-attr]


def test_it_may_be_searched_around_and_tried_first() -> None:
    model = "{preset: kanc-mlp-small-gs10, basis: {grid_size: {int: [3, 20]}}, width: {int: [2, 8]}}"
    space = parse_space(SPACE % model + "enqueue: [{model: {preset: kanc-mlp-small-gs10}}]\n", "f")
    assert space.enqueued == ({"model.width": 5, "model.basis.grid_size": 10},)
    model = "{choice: [{preset: cnn-small}, {preset: kanc-mlp-small-gs10}, {depth: 2}]}"
    space = parse_space(SPACE % model + "enqueue: [{model: {preset: kanc-mlp-small-gs10}}]\n", "f")
    assert [*space.tree["model"].options] == ["kanc", "kanc#2", "plain"]  # type: ignore[union-attr]
    assert space.enqueued == ({"model": "kanc#2"},)


def test_it_may_be_set_on_the_command_line() -> None:
    expected = PRESETS["cnn-big"].config
    assert config_of("{preset: cnn-small}", "model.preset=cnn-big").model == expected
    assert config_of("{depth: 2}", "model={preset: cnn-big}").model == expected
    assert config_of("{preset: cnn-small}", "model.hidden=9").model.hidden == 9  # type: ignore[union-attr]
    space = parse_space(SPACE % "{choice: [{preset: cnn-small}, {depth: 2}]}", "f", ["model.kanc.width=3"])
    assert space.tree["model"].options["kanc"]["width"] == 3  # type: ignore[union-attr,index,call-overload]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("{preset: kkan-smal-gs10}", "f:3:17: model.preset: unknown preset 'kkan-smal-gs10'; did you mean"),
        ("{preset: 3}", "f:3:17: model.preset: unknown preset 3; `kansearch presets` lists them"),
        ("{preset: {choice: [cnn-small, cnn-big]}}", "write model: {choice: [{preset: ...}, {preset: ...}]}"),
        ("{preset: cnn-small, family: vgg}", "preset cnn-small is of family kanc, not 'vgg'; remove it"),
        ("{preset: cnn-small, depth: 3}", "f:3:28: model.depth: unknown key 'depth'"),
        ("{preset: cnn-small, width: 0}", "f:3:35: model.width: must be >= 1, got 0"),
    ],
)
def test_what_is_wrong_with_it_is_said_once_at_its_place(model: str, reason: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(SPACE % model, "f")
    assert reason in str(caught.value) and len(caught.value.issues) == 1


def test_an_enqueued_preset_that_the_space_does_not_hold_is_refused() -> None:
    text = SPACE % "{preset: cnn-small, width: {int: [2, 8]}}" + "enqueue: [{model: {preset: cnn-big}}]\n"
    with pytest.raises(SpaceError, match=r"enqueue\.0\.model\.hidden: 100 is not null, which the space fixes"):
        parse_space(text, "f")


# -- on the command line -------------------------------------------------------------------------------------------


def test_the_list_is_one_json_document(kansearch: Command, rows: Rows) -> None:
    listed = json.loads(kansearch("presets", "--json").out)
    assert listed == [*rows.values()]
    assert {"name", "parameters", "published", "source", "explanation"} <= listed[0].keys()


def test_the_list_is_a_table(kansearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.measure.sizes.count_preset", lambda preset: 1_234_567)
    lines = kansearch("presets").out.splitlines()
    [line] = [line for line in lines if line.startswith("kkan-small-gs10 ")]
    assert line.split()[:4] == ["kkan-small-gs10", "1,234,567", "22,800", "0.8801"]


def test_a_preset_is_retrained_and_the_accuracy_of_each_class_shown(kansearch: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = kansearch("retrain", "--preset", "cnn-small", "--dataset", "digits", "--epochs", "1", "-o", out)
    assert outcome.code == 0, outcome
    metrics = json.loads((out / "metrics.json").read_text())
    shown = next(line for line in outcome.out.splitlines() if line.startswith("accuracy of each class: "))
    expected = [f"{each:.4f}" for each in metrics["runs"][0]["per_class_accuracy"]]
    assert shown.removeprefix("accuracy of each class: ").split() == expected
    assert metrics["parameters"] == 5 * 10 + 5 * 46 + 60  # 8x8 pixels: one is left


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--preset", "cnn-smal"], "no preset is named 'cnn-smal'; did you mean 'cnn-small'?"),
        (
            ["--preset", "cnn-small", "--dataset", "digit"],
            "data.dataset: unknown name 'digit'; did you mean 'digits'?",
        ),
        (["best.yaml", "--preset", "cnn-small"], "give either a file that `kansearch export` wrote, or --preset NAME"),
        ([], "give either a file that `kansearch export` wrote, or --preset NAME"),
        (["best.yaml", "--dataset", "digits"], "--dataset goes with --preset"),
    ],
)
def test_a_wrong_preset_is_named(arguments: list[str], reason: str, kansearch: Command, tmp_path: Path) -> None:
    assert reason in one_line(kansearch("retrain", *arguments, "-o", tmp_path / "out"), code=2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kanc-mlp-small-gs10", "kanc bspline(10,3) 5-5 adamw"),
        ("kkan-medium-gs20", "kanc bspline(20,3)+bspline(20,3) 5-10 adamw"),
        ("conv-kan-small-gs10", "kanc plain+bspline(10,3) 5-5 adamw"),
        ("cnn-big", "kanc plain 5-10 adamw"),
        ("alexnet-fourierkan", "alexnet plain+fourier(7) 64 adamw"),
        ("simple-bottleneck-kagn-8-mnist", "simple gram(3) 8x16 /4 adamw"),
        ("vgg11-gram", "vgg gram(5) 11x32 adamw"),
        ("resnet18-legendre", "resnet legendre(3) 18x64 adamw"),
        ("densenet121-gram", "densenet gram(3) 121x64 adamw"),
    ],
)
def test_a_configuration_is_told_in_a_few_words(name: str, words: str) -> None:
    document = {"data": {"dataset": "digits"}, "model": PRESETS[name].document(), "optimizer": {"name": "adamw"}}
    assert describe(TrialConfig.model_validate(document)) == words
