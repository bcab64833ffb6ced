"""A trained model in formats that need nothing of ours: ONNX, and torch's exported program.

<folder>/
├── model.onnx   for onnxruntime and whatever else runs ONNX
└── model.pt2    for `torch.export.load`, and so for AOTInductor and ExecuTorch

Both take `samples` (N, C, *size), float32, for any N, with the values that the data set has them in (of images: 0 to
255). They give `logits` (N, classes), or (N, classes, *size) where there is a class for each pixel.
Rows of numbers are float64, (N, F), one-hot as in training. The `logits` of a regression are numbers in the units of
the targets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from trials.files import first_line, replacing
from trials.saved.trained import TrainedModel, load_model, model_folder

__all__ = ["FORMATS", "ROUNDINGS", "TOLERANCE", "Format", "PortableError", "check_formats", "write_portable"]

Format = Literal["onnx", "torch"]
TOLERANCE = 1e-4
"""Largest difference of a logit from the model's own that is allowed, in units of the largest absolute logit."""
ROUNDINGS = 4.0
"""The same in units of the model's own rounding error: of a deep network it is the larger one, 3e-4 of a ResNet-18."""
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ONNX_LIMIT = 1536 * 2**20  # bytes of weights; torch.onnx.export writes larger ones into a second file
_BATCHES = (1, 2, 5)
"""Samples at once with which a written file is tried; it was traced with the second."""

Run = Callable[[Tensor], Tensor]


class PortableError(RuntimeError):
    """A model cannot be written in a format; the message, of one line, names the file and says why."""


def write_portable(folder: Path, formats: Sequence[Format]) -> list[Path]:
    """Write the model in a folder of `kansearch retrain` beside its weights; the files, in the order of `formats`.

    Each file is read back and run on the CPU with random samples, in batches of several sizes, before it gets its name.
    Its logits differ from those of `load_model` by at most `TOLERANCE` times the largest absolute one. Where the
    model's own rounding error times `ROUNDINGS` is more, that is allowed.

    Raises:
        ModelError: as `load_model`.
        PortableError: an unknown format, a package that is not installed, an operation that the format lacks, logits
            that differ, or a file that cannot be written.
    """
    check_formats(formats)
    model, _ = load_model(folder, exact=True)
    place = model_folder(folder)
    size = sum(each.numel() * each.element_size() for each in model.state_dict().values())
    if "onnx" in formats and size > _ONNX_LIMIT:
        raise PortableError(
            f"{place}: {size / 2**30:.1f} GiB of weights, and one ONNX file holds {_ONNX_LIMIT / 2**30:g}; export torch"
        )
    program = _trace(model, place)
    allowed = _allowed(model)
    kinds = [FORMATS[name] for name in dict.fromkeys(formats)]
    return [_written(place / kind.file, kind, program, model, allowed) for kind in kinds]


def check_formats(formats: Sequence[str]) -> None:
    """Raises PortableError for an unknown format, and for one whose packages are not installed."""
    if unknown := [name for name in formats if name not in FORMATS]:
        raise PortableError(f"no format is named '{unknown[0]}'; there are {', '.join(FORMATS)}")
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None] if "onnx" in formats else []
    if missing:
        raise PortableError(f"ONNX needs {', '.join(missing)}: pip install 'kansearch[onnx]'")


def _trace(model: TrainedModel, place: Path) -> ExportedProgram:
    samples = _samples(model, _BATCHES[1])
    try:
        with torch.no_grad():
            return torch.export.export(model, (samples,), dynamic_shapes={"samples": {0: Dim("batch")}}, strict=False)
    except RuntimeError as error:  # of which torch's own errors are
        raise PortableError(f"{place}: torch.export cannot trace this model: {_reason(error)}") from error


def _samples(model: TrainedModel, count: int) -> Tensor:
    """Normal samples (count, C, *size) of the training split's mean and standard deviation; always the same."""
    shape = (count, model.shape.channels, *model.shape.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(count)) * model.std + model.mean


def _written(path: Path, kind: _Kind, program: ExportedProgram, model: TrainedModel, allowed: float) -> Path:
    with replacing(path) as unfinished:
        difference = _tried(path, unfinished, kind, program, model)
        if not difference <= allowed:
            raise PortableError(
                f"{path}: not kept: its logits differ from the model's by {difference:.1e} of the largest one, "
                f"and {allowed:.1e} is allowed"
            )
    return path


def _tried(path: Path, unfinished: Path, kind: _Kind, program: ExportedProgram, model: TrainedModel) -> float:
    """Write the file and run it; how far its logits are from the model's, as `_difference` says."""
    try:
        kind.write(program, unfinished)
        return _difference(model, kind.read(unfinished))
    except Exception as error:  # onnxruntime's errors have no class in common
        raise PortableError(f"{path}: cannot be written: {_reason(error)}") from error


@torch.no_grad()
def _difference(model: TrainedModel, run: Run) -> float:
    """Largest difference of a logit, in units of the largest absolute logit; NaN where a logit is."""
    pairs = [(model(samples), run(samples)) for samples in (_samples(model, count) for count in _BATCHES)]
    largest = torch.stack([own.abs().max() for own, _ in pairs]).max()
    difference = torch.stack([(own - other).abs().max() for own, other in pairs]).max()
    return float(difference / largest.clamp(min=torch.finfo(largest.dtype).tiny))


def _allowed(model: TrainedModel) -> float:
    """The largest difference that is allowed: `TOLERANCE`, or `ROUNDINGS` times what rounding to float32 makes of the
    model itself, whose logits in double precision are the exact ones."""
    exact = copy.deepcopy(model)
    exact.network.double()
    if not model.shape.regression:
        network = exact.network
        rounding = _difference(model, lambda samples: network(((samples - model.mean) / model.std).double()))
    else:
        rounding = _difference(model, exact)
    return max(TOLERANCE, ROUNDINGS * rounding)


def _reason(error: BaseException) -> str:
    """The first cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    torch.onnx.export(
        program,
        f=path,
        input_names=["samples"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
        external_data=False,
        dynamo=True,
        verbose=False,
    )


def _read_onnx(path: Path) -> Run:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda samples: torch.from_numpy(session.run(["logits"], {"samples": samples.numpy()})[0])


def _write_torch(program: ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)


def _read_torch(path: Path) -> Run:
    return torch.export.load(path).module()


@dataclass(frozen=True)
class _Kind:
    """How a format is written, and read back to be run."""

    file: str
    write: Callable[[ExportedProgram, Path], None]
    read: Callable[[Path], Run]


FORMATS: dict[str, _Kind] = {
    "onnx": _Kind("model.onnx", _write_onnx, _read_onnx),
    "torch": _Kind("model.pt2", _write_torch, _read_torch),
}
"""The formats by name."""
