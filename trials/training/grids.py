"""Grids that change while a trial trains: extended (`grid_schedule`) or moved (`adapt_grid`), before an epoch's steps.

Both give each layer new weights w' = T w, with the functions that it had: exactly inside the grid where it is extended,
by least squares where it is moved. The optimizer's averages go through T as well:

    m' = T m                            AdamW, Lion
    v' = c^0.5 |T| v                    AdamW; c: width of a new function over that of an old one

A narrower function sees fewer inputs. On digits the mean squared gradients after an extension were 0.65 to 0.80 times
T v where intervals were halved, and 0.47 to 0.49 times where they were quartered. L-BFGS starts anew.

What changes, and when, follows from the configuration alone: a resumed trial needs to know no more. Outside of the grid
the functions of an extended one end sooner, s narrower intervals from its end instead of s wide ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trials.config import BSplineConfig, TrialConfig
from trials.config.grids import BASIS_FIELDS
from trials.kan.basis import Basis
from trials.kan.basis.bspline import BSpline
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv

__all__ = ["change_grids", "changes_grids", "follow_grids", "staged"]

_RANGE = "grid_range"
_SAMPLE = 2**18  # inputs of a layer, at most, that say where its grid goes


def staged(config: TrialConfig, epoch: int) -> TrialConfig:
    """The configuration with the grids that epoch `epoch`, from 0, trains on. The last epoch's are the model's own."""
    schedule = config.grid_schedule
    divisor = schedule.ratio // schedule.factor ** _extensions(config, epoch)
    changes = {}
    for field in BASIS_FIELDS:
        basis = getattr(config.model, field, None)
        if isinstance(basis, BSplineConfig) and divisor > 1:
            changes[field] = basis.model_copy(update={"grid_size": basis.grid_size // divisor})
    if not changes:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def changes_grids(config: TrialConfig, epoch: int) -> bool:
    """Whether grids change between epoch `epoch` - 1 and epoch `epoch`, counted from 0."""
    return epoch > 0 and (_extensions(config, epoch) > _extensions(config, epoch - 1) or _moves(config, epoch))


@torch.no_grad()
def change_grids(
    config: TrialConfig,
    model: nn.Module,
    optimizer: Optimizer,
    epoch: int,
    images: Callable[[], Tensor],
    agree: Callable[[Tensor], Tensor] = lambda reaches: reaches,
) -> None:
    """Change the grids as they change before epoch `epoch`, and carry the optimizer's averages over.

    L-BFGS keeps its history, which fits no more: make it anew.

    Args:
        images: normalised ones, (N, C, *size). A grid moves to the inputs that they give its layer in eval mode.
        agree: the mean of what each process found that trains the same model, so that their grids move alike.
    """
    factor = config.grid_schedule.factor
    for _ in range(_extensions(config, epoch) - _extensions(config, epoch - 1)):
        for _, layers in _layers(model):
            if isinstance(layers[0].basis, BSpline):
                _exchange(layers, optimizer, *layers[0].basis.refine(factor), 1 / factor)
    if _moves(config, epoch):
        _move(model, optimizer, images(), config.adapt_grid.share, agree)


def follow_grids(network: nn.Module) -> None:
    """Keep the range of every grid that can be moved in the network's state; loaded weights bring theirs."""
    for _, layers in _layers(network):
        for layer in layers if _movable(layers[0].basis) else ():
            layer.register_buffer(_RANGE, torch.tensor(layer.basis.grid_range, dtype=torch.float64))
            layer.register_load_state_dict_post_hook(_follow)  # type: ignore[no-untyped-call]


def _follow(layer: Any, keys: object) -> None:
    """Put the basis on the range that was loaded."""
    reach = float(layer.grid_range)
    if reach != layer.basis.grid_range:
        layer.basis = layer.basis.on_range(reach).to(layer.weight.device)


def _extensions(config: TrialConfig, epoch: int) -> int:
    """Extensions that come before epoch `epoch`. All of them come before the last one."""
    schedule = config.grid_schedule
    return sum(at <= epoch for at in _spread(schedule.extensions, schedule.until, config.epochs))


def _moves(config: TrialConfig, epoch: int) -> bool:
    return epoch in _spread(config.adapt_grid.times, config.adapt_grid.until, config.epochs)


def _spread(times: int, until: float, epochs: int) -> list[int]:
    """The epochs before which something happens: evenly spaced over the share `until` of all."""
    return [min(math.ceil(number * until * epochs / times), epochs - 1) for number in range(1, times + 1)]


def _layers(model: nn.Module) -> list[tuple[nn.Module, list[KANLayer]]]:
    """The modules that are given an input of KAN layers, and those layers: a mixture, and its experts; or a layer."""
    mixtures = [module for module in model.modules() if isinstance(module, MixtureKANConv)]
    experts = {expert for mixture in mixtures for expert in mixture.experts}
    alone = [module for module in model.modules() if isinstance(module, KANLayer) and module not in experts]
    return [
        *((mixture, [each for each in mixture.experts if isinstance(each, KANLayer)]) for mixture in mixtures),
        *((layer, [layer]) for layer in alone),
    ]


def _movable(basis: Basis) -> bool:
    return type(basis).on_range is not Basis.on_range and next(basis.parameters(), None) is None


def _move(
    model: nn.Module, optimizer: Optimizer, images: Tensor, share: float, agree: Callable[[Tensor], Tensor]
) -> None:
    """Move every grid to where `share` of its layer's inputs lie. Where they all lie at its middle it stays."""
    owners = [(owner, layers) for owner, layers in _layers(model) if _movable(layers[0].basis)]
    if not owners:
        return
    seen = _inputs(model, [owner for owner, _ in owners], images)
    reaches = torch.stack([layers[0].reach(z, share) for z, (_, layers) in zip(seen, owners, strict=True)])
    for reach, (_, layers) in zip(agree(reaches).tolist(), owners, strict=True):
        before = layers[0].basis.grid_range
        if 0 < reach < math.inf:
            _exchange(layers, optimizer, *layers[0].refitted(reach), reach / before)
            for layer in layers:
                layer.get_buffer(_RANGE).fill_(reach)


def _inputs(model: nn.Module, owners: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """Some elements of each owner's input, (S,), while the images pass in eval mode."""
    found: dict[nn.Module, Tensor] = {}

    def note(owner: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[owner] = inputs[0].flatten()[:: inputs[0].numel() // _SAMPLE | 1]

    handles = [owner.register_forward_pre_hook(note) for owner in owners]
    try:
        model.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    return [found[owner] for owner in owners]


def _exchange(layers: Sequence[KANLayer], optimizer: Optimizer, basis: Basis, matrix: Tensor, width: float) -> None:
    """Give the layers another basis, and the optimizer their new weights, with its averages of the old ones.

    matrix: T, (F', F). width: c, of the new functions over the old.
    """
    maps = {"exp_avg": matrix, "exp_avg_sq": width**0.5 * matrix.abs()}
    for layer in layers:
        old, state = layer.weight, optimizer.state.pop(layer.weight, {})
        state = {name: layer.mapped(each, maps[name]) if name in maps else each for name, each in state.items()}
        layer.change_basis(basis, matrix)
        for group in optimizer.param_groups:
            group["params"] = [layer.weight if p is old else p for p in group["params"]]
        if state:
            optimizer.state[layer.weight] = state
