"""A model whose grids are made finer, which computes what it did and can learn more: `grow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from trials.config import BSplineConfig, TrialConfig
from trials.config.grids import BASIS_FIELDS
from trials.data.splits import load_test
from trials.kan.basis.bspline import BSpline
from trials.kan.layer import KANLayer
from trials.models import build_network
from trials.saved.compress.finetune import finetune
from trials.saved.compress.steps import Progress, Steps, final_metrics, machine
from trials.saved.compress.stored import COMPRESSED
from trials.saved.trained import WEIGHTS, as_trained, model_folder, open_model, write_model

__all__ = ["grow", "refine_network", "refined_config"]


def grow(
    source: Path, out: Path, epochs: int, rate: float, data_dir: Path | None, progress: Progress
) -> tuple[TrialConfig, dict[str, Any], dict[str, Any]]:
    """Write the model on grids of twice as many intervals into the folder `out`, which exists.

    Arguments, results and errors are those of `trials.saved.shrink`; ValueError where there is no
    grid that can be refined, or the model is compressed.
    """
    model, config, manifest = open_model(source)
    if COMPRESSED in manifest:
        raise ValueError("a compressed model cannot grow; start from the model that it was made of")
    finer = refined_config(config)
    test = as_trained(model, load_test(config.data, torch.device("cpu"), data_dir))
    steps = Steps(test, progress)
    steps.note("before", model.network, model_folder(source) / WEIGHTS)
    model.network = network = refine_network(model.network, finer)
    steps.note("grids refined", network)
    if epochs:
        finetune(model, finer, epochs, rate, data_dir, progress.epoch)
        steps.note(f"fine-tuned, {epochs} epochs", network)
    write_model(out, network.state_dict(), manifest, finer)
    report = {"finetune_epochs": epochs, "rate": rate, "steps": steps.report(), **machine()}
    return finer, final_metrics(finer, network, test), report


def refined_config(config: TrialConfig) -> TrialConfig:
    """The configuration with every B-spline's grid_size doubled. Raises ValueError where there is none, or it is too
    large."""
    changes = {}
    for field in BASIS_FIELDS:
        basis = getattr(config.model, field, None)
        if isinstance(basis, BSplineConfig):
            changes[field] = {**basis.model_dump(), "grid_size": 2 * basis.grid_size}
    if not changes:
        raise ValueError(
            f"no layer has a grid that can be refined exactly: basis {config.model.basis.name}; bspline alone has one"
        )
    document = config.model_dump()
    try:
        return TrialConfig.model_validate({**document, "model": {**document["model"], **changes}})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(each) for each in detail["loc"])
        raise ValueError(f"the grid cannot be doubled: {place}={detail['input']}: {detail['msg']}") from error


def refine_network(network: nn.Module, finer: TrialConfig) -> nn.Module:
    """A network of the refined configuration that computes, inside the grids, what `network` does. `network` is used
    up. Raises ValueError where it has no grid."""
    layers = [each for each in network.modules() if isinstance(each, KANLayer) and isinstance(each.basis, BSpline)]
    if not layers:
        raise ValueError("the network has no KAN layer with a grid that can be refined")
    for layer in layers:
        layer.refine()
    grown = build_network(finer)
    grown.load_state_dict(network.state_dict())
    return grown.eval()
