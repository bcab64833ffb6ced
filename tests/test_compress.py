"""From a folder with a model to one with a smaller or a larger model: what is written, measured, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kansearch.commands.compressing import run_compress, run_grow
from kansearch.errors import InputError, KansearchError
from kansearch.models.compress import compress, grow
from kansearch.space import load_config
from tests.support.commands import answer, call
from trials import load_model
from trials.config import TrialConfig
from trials.data.splits import load_test
from trials.kan.layer import KANLayer
from trials.models import build_network
from trials.saved.compress import figures
from trials.saved.compress.fast import FastLayer
from trials.saved.compress.larger import refine_network, refined_config
from trials.saved.compress.prune import count_edges
from trials.saved.compress.smaller import CompressionOptions
from trials.saved.portable import write_portable
from trials.saved.trained import ModelError, describe_model, open_model
from trials.training.edges import edged_layers
from trials.training.run import run_trial

STEP = ["step", "accuracy", "nrmse", "parameters", "nonzero", "edges", "all_edges", "file_bytes", "latency_ms"]


def config(**model: Any) -> TrialConfig:
    document = {
        "data": {"dataset": "digits", "limit": 200, "batch_size": 32},
        "model": {"depth": 2, "width": 8, "basis": {"name": "bspline", "grid_size": 3}, **model},
        "epochs": 3,
    }
    return TrialConfig.model_validate(document)


def train(folder: Path, own: TrialConfig) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    list(run_trial(own, device="cpu", weights=folder / "model.safetensors", hold_out=False))
    describe_model(own, folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `retrain` writes it, with a model card."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "seed-0", config())
    (folder / "README.md").write_text("# digits\n\nA card.\n")
    return folder


@pytest.fixture(scope="module")
def smaller(model: Path) -> tuple[Path, dict[str, Any]]:
    """Everything at once, and the report."""
    out = model.parent / "smaller"
    options = CompressionOptions(prune=0.3, channels=0.25, int8=True, tables=True, epochs=2)
    return out, compress(model, out, options, None, ignore, ignore)


@pytest.fixture
def samples() -> Tensor:
    return load_test(config().data, torch.device("cpu")).images[:64]


@pytest.fixture(scope="module", autouse=True)
def few_turns() -> Iterator[None]:
    """How long a network takes is not judged here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_TURNS", 4)
        yield


def ignore(_: object) -> None:
    """No progress is shown."""


# -- compress ------------------------------------------------------------------------------------------------------


def test_each_step_is_reported(smaller: tuple[Path, dict[str, Any]]) -> None:
    out, report = smaller
    steps = report["steps"]
    names = [step["step"] for step in steps]
    assert names[:5] == [
        "before", "25% of channels removed", "30% of edges removed", "fine-tuned, 2 epochs", "int8 weights",
    ]  # fmt: skip
    assert all([*step] == STEP for step in steps)
    assert all(set(step["latency_ms"]) == {"1", "128"} and min(step["latency_ms"].values()) > 0 for step in steps)
    before, fewer, pruned, tuned, rounded, *_ = steps
    assert before["parameters"] > fewer["parameters"] == pruned["parameters"] == tuned["parameters"]
    assert pruned["edges"] == pruned["all_edges"] - int(0.3 * pruned["all_edges"]) == tuned["edges"]
    assert fewer["edges"] == fewer["all_edges"] == pruned["all_edges"] < before["all_edges"]
    assert pruned["nonzero"] < fewer["nonzero"]
    assert rounded["file_bytes"] < tuned["file_bytes"] * 0.4
    assert rounded["file_bytes"] == (out / "model.safetensors").stat().st_size
    assert json.loads((out / "compress.json").read_text()) == report
    assert report["widths"] == {"blocks.0.1": 6, "blocks.1.1": 12}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["accuracy"] == steps[-1]["accuracy"] and metrics["split"] == "test"
    assert (metrics["parameters"], metrics["nonzero_parameters"]) == (tuned["parameters"], steps[-1]["nonzero"])


def test_a_compressed_model_is_a_folder_with_a_model(smaller: tuple[Path, dict[str, Any]], samples: Tensor) -> None:
    out, report = smaller
    assert {path.name for path in out.iterdir()} == {
        "model.safetensors", "model.json", "config.yaml", "metrics.json", "compress.json", "README.md",
    }  # fmt: skip
    assert not [*out.parent.glob(f".{out.name}-*")], "nothing half-done is left"
    loaded, own = load_model(out)
    assert own == config() == load_config(out / "config.yaml")
    assert json.loads((out / "model.json").read_text())["format"] == 4
    test = load_test(own.data, torch.device("cpu"))
    with torch.no_grad():
        logits = loaded(test.images)
    accuracy = (logits.argmax(1) == test.labels).double().mean().item()
    assert accuracy == pytest.approx(report["steps"][-1]["accuracy"])
    fast = [name for name, each in loaded.network.named_modules() if isinstance(each, FastLayer)]
    assert set(fast) == {each["name"] for each in report["layers"] if each["chosen"] != "exact"}

    exact, _ = load_model(out, exact=True)
    assert not [each for each in exact.modules() if isinstance(each, FastLayer)]
    assert count_edges(exact.network) == (report["steps"][-1]["edges"], report["steps"][-1]["all_edges"])
    with torch.no_grad():
        assert (exact(samples).argmax(1) == loaded(samples).argmax(1)).float().mean() > 0.9
    card = (out / "README.md").read_text()
    assert card.startswith("# digits\n\nA card.\n\n## ")
    assert "| before | " in card and "| int8 weights | " in card


def test_a_compressed_model_is_exported_from_its_exact_layers(
    smaller: tuple[Path, dict[str, Any]], tmp_path: Path, samples: Tensor
) -> None:
    folder = shutil.copytree(smaller[0], tmp_path / "model")
    (written,) = write_portable(folder, ["torch"])
    exact, _ = load_model(folder, exact=True)
    with torch.no_grad():
        logits = torch.export.load(written).module()(samples.float())
        torch.testing.assert_close(logits, exact(samples), atol=1e-4, rtol=1e-4)


def test_what_is_compressed_can_be_compressed_again(
    smaller: tuple[Path, dict[str, Any]], tmp_path: Path, samples: Tensor
) -> None:
    out, _ = smaller
    zeros = {name: each.weight == 0 for name, each in edged_layers(load_model(out, exact=True)[0].network).items()}
    report = compress(out, tmp_path / "again", CompressionOptions(prune=0.4, epochs=1), None, ignore, ignore)
    assert report["steps"][0]["file_bytes"] == (out / "model.safetensors").stat().st_size
    again, _ = load_model(tmp_path / "again", exact=True)
    edges, total = count_edges(again.network)
    assert edges == total - int(0.4 * total) == report["steps"][-1]["edges"]
    edged = edged_layers(again.network)
    pruned = sum(int((edged[name].weight[zero] != 0).sum()) for name, zero in zeros.items())
    assert pruned <= 0.02 * sum(int(zero.sum()) for zero in zeros.values()), "but for weights that were rounded to zero"
    with pytest.raises(KansearchError, match="channels have been taken out of this model before"):
        compress(out, tmp_path / "no", CompressionOptions(channels=0.5), None, ignore, ignore)
    assert not (tmp_path / "no").exists()


def test_a_model_with_zeros_alone_is_one_that_older_versions_read(model: Path, tmp_path: Path) -> None:
    compress(model, tmp_path / "pruned", CompressionOptions(prune=0.5), None, ignore, ignore)
    manifest = json.loads((tmp_path / "pruned/model.json").read_text())
    assert manifest["format"] == 3 and "compressed" not in manifest
    assert manifest.keys() == json.loads((model / "seed-0/model.json").read_text()).keys()
    edges, total = count_edges(load_model(tmp_path / "pruned")[0].network)
    assert edges == total - total // 2


def test_fine_tuning_gives_the_same_numbers_each_time(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        compress(model, tmp_path / name, CompressionOptions(prune=0.6, epochs=1), None, ignore, ignore)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a/metrics.json").read_text() == (tmp_path / "b/metrics.json").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"widths": {"blocks.0.1": 60}}, r"model\.json: not a model that kansearch wrote: no layer"),
        ({"widths": ["blocks.0.1"]}, r"model\.json: not a model that kansearch wrote"),
        ({"fast": {"blocks.7": {"kind": "table", "low": -1.0, "high": 1.0}}}, r"not a model that kansearch wrote"),
        ({"fast": {"blocks.0.1": {"kind": "magic", "low": -1.0, "high": 1.0}}}, "no way 'magic'"),
        ({"fast": {"blocks.0.1": {"kind": "table", "low": 1.0, "high": -1.0}}}, "low < high must hold"),
        ({"fast": {"blocks.0.1": {"kind": "table", "code": "rm"}}}, r"not a model that kansearch wrote"),
        ({"fast": 7}, r"not a model that kansearch wrote"),
    ],
)
def test_a_spoilt_manifest_is_told(
    smaller: tuple[Path, dict[str, Any]], tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    folder = shutil.copytree(smaller[0], tmp_path / "spoilt")
    manifest = json.loads((folder / "model.json").read_text())
    manifest["compressed"] |= changes
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=reason):
        load_model(folder)


# -- grow ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"experts": 2}, {"bottleneck": 2, "spline_scaler": True}], ids=str)
def test_a_grown_network_computes_what_it_did_inside_its_grids(extra: dict[str, Any]) -> None:
    wide = {"name": "bspline", "grid_size": 6, "grid_range": 12.0}
    own = config(**extra, basis=wide, head="flatten", classifier="kan")
    torch.manual_seed(0)
    network = build_network(own).eval()
    images = torch.rand(8, 1, 8, 8)
    before = network(images)
    count = sum(each.numel() for each in network.parameters())
    finer = refined_config(own)
    assert finer.model.basis.grid_size == 12
    layers = [each for each in network.modules() if isinstance(each, KANLayer)]
    added = sum(each.weight.numel() // each.planes * 6 for each in layers)
    grown = refine_network(network, finer)
    torch.testing.assert_close(grown(images), before, atol=1e-4, rtol=1e-4)
    assert sum(each.numel() for each in grown.parameters()) == count + added


def test_a_grown_model_is_an_ordinary_one(model: Path, tmp_path: Path) -> None:
    report = grow(model, tmp_path / "grown", 1, 0.1, None, ignore, ignore)
    assert [step["step"] for step in report["steps"]] == ["before", "grids refined", "fine-tuned, 1 epochs"]
    loaded, own = load_model(tmp_path / "grown")
    assert own.model.basis.grid_size == 6
    assert load_config(tmp_path / "grown/config.yaml") == own
    assert json.loads((tmp_path / "grown/model.json").read_text())["format"] == 3
    assert sum(each.numel() for each in loaded.parameters()) == report["steps"][-1]["parameters"]
    assert json.loads((tmp_path / "grown/grow.json").read_text()) == report


@pytest.mark.parametrize(
    ("basis", "reason"),
    [
        ({"name": "none"}, "no layer has a grid that can be refined exactly: basis none; bspline alone has one"),
        ({"name": "chebyshev"}, "basis chebyshev; bspline alone has one"),
        ({"name": "bspline", "grid_size": 60}, r"the grid cannot be doubled: model.*grid_size=120"),
    ],
)
def test_what_cannot_grow_says_why(basis: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        refined_config(config(basis=basis))


def test_a_compressed_model_does_not_grow(smaller: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match="a compressed model cannot grow"):
        grow(smaller[0], tmp_path / "grown", 0, 0.1, None, ignore, ignore)
    assert not [*tmp_path.iterdir()]


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (CompressionOptions(prune=1.0), r"--prune 1: a share of at least 0 and less than 1"),
        (CompressionOptions(channels=-0.5), r"--channels -0\.5: a share"),
        (CompressionOptions(prune=float("nan")), r"--prune nan: a share"),
        (CompressionOptions(), "nothing to do: give --prune SHARE"),
    ],
)
def test_what_makes_no_sense_is_refused(model: Path, tmp_path: Path, options: CompressionOptions, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        compress(model, tmp_path / "out", options, None, ignore, ignore)


def test_a_folder_with_something_in_it_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for out in (tmp_path, tmp_path / "mine"):
        with pytest.raises(InputError, match="is there already"):
            compress(model, out, CompressionOptions(prune=0.1), None, ignore, ignore)
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_failure_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(model, tmp_path / "out", CompressionOptions(prune=0.1, epochs=1), None, ignore, fail)
    assert not [*tmp_path.iterdir()]


def test_compress_prints_its_tables(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    shown = answer("compress", "model", "-o", "small", "--prune", "0.3", "--finetune-epochs", "1", cwd=tmp_path)
    assert "fine-tuning, epoch 1/1: train loss" in shown
    assert shown.endswith("written to small\n")
    rows = [line.split()[0] for line in shown.splitlines() if "  " in line]
    assert rows == ["step", "before", "30%", "fine-tuned,"]


def test_grow_prints_one_document(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_grow(model, tmp_path / "big", 0, 0.1, None, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert [step["step"] for step in report["steps"]] == ["before", "grids refined"]
    assert open_model(tmp_path / "big")[2]["format"] == 3


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    done = call("compress", "nowhere", "--prune", "0.3", "-o", "out", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert done.err == "kansearch: nowhere: no such folder\n"
    assert not [*tmp_path.iterdir()]
    with pytest.raises(InputError, match="--quantize int4: int8 is what there is"):
        run_compress(tmp_path, tmp_path / "out", 0, None, 0, "int4", False, None, 0.5, None, False)
