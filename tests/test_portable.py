"""Models in other programs' formats: every basis and family gives there what it gives here, for any number of samples,
and a file that does not is not kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from tests.modelfolder import model_config, write_model
from tests.test_families import TINY
from trials import load_model
from trials.config import TrialConfig
from trials.kan import BASES
from trials.models import MODELS
from trials.saved import portable
from trials.saved.portable import FORMATS, Format, PortableError, check_formats, write_portable
from trials.saved.trained import ModelError, TrainedModel

EVERY_BASIS = [*sorted(BASES), "none"]
IN_ONNX = ("bspline", "fourier")
"""Bases that the quick tests write as ONNX, which takes seconds."""
SIGNALS = {"dataset": "synthetic", "size": [40], "channels": 2, "samples": 40, "batch_size": 8}
PIXELS = {"dataset": "synthetic", "size": [18, 14], "channels": 3, "samples": 20, "dense": True, "batch_size": 8}


def opened(path: Path) -> Callable[[Tensor], Tensor]:
    """As a user of the file opens it."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda samples: torch.from_numpy(session.run(["logits"], {"samples": samples.numpy()})[0])


@torch.no_grad()
def check(folder: Path, config: TrialConfig, formats: Sequence[Format], tolerance: float = 1e-4) -> None:
    """The files give the model's logits of random pixels, to `tolerance` of the largest, however many there are."""
    write_model(folder, config)
    files = write_portable(folder, formats)
    assert files == [folder / FORMATS[name].file for name in formats]
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors", *(p.name for p in files)}
    model, _ = load_model(folder)
    runs = [opened(path) for path in files]
    for count in (1, 3, 7):
        samples = torch.randint(0, 256, (count, model.shape.channels, *model.shape.size)).float()
        own = model(samples)
        for run in runs:
            torch.testing.assert_close(run(samples), own, rtol=0, atol=tolerance * own.abs().max().item())


@pytest.mark.parametrize("basis", EVERY_BASIS)
def test_an_exported_program_of_every_basis_gives_its_logits(basis: str, tmp_path: Path) -> None:
    check(tmp_path, model_config(basis={"name": basis}), ["torch"])


@pytest.mark.parametrize(
    "basis", [pytest.param(each, marks=() if each in IN_ONNX else pytest.mark.slow) for each in EVERY_BASIS]
)
def test_onnx_of_every_basis_gives_its_logits(basis: str, tmp_path: Path) -> None:
    check(tmp_path, model_config(basis={"name": basis}), ["onnx"])


def test_experts_for_each_sample_are_exported_for_any_number_of_samples(tmp_path: Path) -> None:
    config = model_config(SIGNALS, depth=2, basis={"name": "gram"}, experts=3, experts_per_image=2)
    check(tmp_path, config, ["torch"])


def test_a_class_for_each_pixel_is_exported(tmp_path: Path) -> None:
    check(tmp_path, model_config(PIXELS, family="unet", width=1, basis={"name": "rbf"}), ["torch"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mexican_hat", "morlet", "dog", "meyer", "shannon"])
def test_every_wavelet_is_exported(kind: str, tmp_path: Path) -> None:
    check(tmp_path, model_config(basis={"name": "wavelet", "kind": kind}), ["torch", "onnx"])


@pytest.mark.slow
@pytest.mark.parametrize("data", [SIGNALS, {}])
def test_experts_behind_a_bottleneck_are_exported(data: dict[str, Any], tmp_path: Path) -> None:
    fields = {"depth": 2, "bottleneck": 2, "bottleneck_minimum": 1, "experts": 3, "normalization": "instance"}
    check(tmp_path, model_config(data, basis={"name": "jacobi"}, spline_scaler=True, **fields), ["torch", "onnx"])


@pytest.mark.slow
@pytest.mark.timeout(3600)  # a graph of 3,000 operations takes minutes of a processor's time
@pytest.mark.parametrize("family", sorted(MODELS.keys() - {"mlp"}))
def test_every_family_is_exported(family: str, tmp_path: Path) -> None:
    """Deep ones to the rounding errors of float32, which are 3e-4 of a ResNet's logits."""
    dense = family not in TINY
    data = {**PIXELS, "dense": dense, "size": [16, 16]}
    fields: dict[str, Any] = {"depth": 1} if family in ("plain", "unet") else {}
    config = TrialConfig.model_validate(
        {
            "data": data,
            "model": {"family": family, "basis": {"name": "rbf"}, **TINY.get(family, {"width": 4}), **fields},
        }
    )
    check(tmp_path, config, ["torch", "onnx"], 2e-3 if family in ("resnet", "densenet") else 1e-4)


# -- what is wrong is told ----------------------------------------------------------------------------------------


def test_without_the_packages_the_way_to_them_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, model_config())
    monkeypatch.setattr(portable, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(PortableError, match=r"^ONNX needs onnxruntime: pip install 'kansearch\[onnx\]'$"):
        write_portable(tmp_path, ["torch", "onnx"])
    assert not list(tmp_path.glob("model.pt2"))
    check_formats(["torch"])


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(PortableError, match="no format is named 'tflite'; there are onnx, torch"):
        check_formats(["onnx", "tflite"])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained model there"):
        write_portable(tmp_path, ["torch"])


def test_a_file_with_other_logits_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, model_config())

    def slightly_wrong(path: Path) -> portable.Run:
        program = torch.export.load(path).module()
        return lambda samples: program(samples) * 1.0005

    monkeypatch.setitem(FORMATS, "torch", dataclasses.replace(FORMATS["torch"], read=slightly_wrong))
    with pytest.raises(PortableError, match=r"model\.pt2: not kept: .* differ .* by 5\.0e-04 .* 1\.0e-04 is allowed$"):
        write_portable(tmp_path, ["torch"])
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "model.safetensors"}


def test_an_operation_that_onnx_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, model_config(basis={"name": "none"}))
    forward = TrainedModel.forward
    monkeypatch.setattr(TrainedModel, "forward", lambda self, samples: torch.special.bessel_j0(forward(self, samples)))
    with pytest.raises(PortableError, match=r"model\.onnx: cannot be written: .*bessel_j0[^\n]*$"):
        write_portable(tmp_path, ["onnx"])
    assert not list(tmp_path.glob("*onnx*"))


def test_what_cannot_be_traced_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, model_config(basis={"name": "none"}))
    forward = TrainedModel.forward

    def guarded(self: TrainedModel, samples: Tensor) -> Tensor:
        logits = forward(self, samples)
        return logits if logits.sum() > 0 else -logits

    monkeypatch.setattr(TrainedModel, "forward", guarded)
    with pytest.raises(PortableError, match=r"torch\.export cannot trace this model: [^\n]*$"):
        write_portable(tmp_path, ["torch"])
