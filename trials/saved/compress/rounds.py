"""Edges taken out within a tolerance of the validation error, with training between: `compress --tolerance`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from trials.config import TrialConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import load_training
from trials.results import EpochResult
from trials.saved.compress.finetune import finetune
from trials.saved.compress.within import prune_within, validation_error
from trials.saved.trained import TrainedModel, as_trained

__all__ = ["SHOWN", "prune_and_train"]

SHOWN = 512
"""Samples of the training split, unaugmented, whose way through the network says what an edge does."""
_ROUNDS = 5
"""Times at most that edges are taken out."""


def prune_and_train(
    model: TrainedModel,
    config: TrialConfig,
    tolerance: float,
    epochs: int,
    rate: float,
    data_dir: Path | None,
    step: Callable[[str, nn.Module], None],
    epoch: Callable[[EpochResult], None],
) -> None:
    """Take out edges and train what is left, in turns, for as long as edges go.

    Edges go while the validation error is at most 1 + `tolerance` times what it was at first. A round whose training
    ends above 1 + `tolerance` times the error before it is undone, and is the last. Training is `finetune`'s, for
    `epochs`, without the penalties that make a network sparse. step: told of each one, and of the network then. Raises
    ValueError where there is no validation part, and what training raises.
    """
    network, cpu = model.network, torch.device("cpu")
    training, held_out = load_training(config.data, cpu, data_dir)
    if held_out is None:
        raise ValueError("--tolerance is of the validation error, and data.validation is 0; give --prune SHARE")
    shown, _ = next(iter(evaluation_batches(as_trained(model, training), SHOWN)))
    error = validation_error(as_trained(model, held_out))
    sparse = config.regularization.model_copy(update={"l1_weight": 0.0, "edge_entropy": 0.0})
    own = config.model_copy(update={"regularization": sparse})
    before = error(network)
    limit = (1 + tolerance) * before
    for turn in range(_ROUNDS):
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        gone, found = prune_within(network, shown, limit, error)
        if turn and not gone:
            return
        pruned = f"{gone:,} edges removed, validation error {found:.4g}"
        if not epochs:
            step(pruned, network)
            return
        finetune(model, own, epochs, rate, data_dir, epoch, hold_out=True)
        trained = error(network)
        if trained > (1 + tolerance) * before:
            network.load_state_dict(kept)
            return
        step(f"{pruned}, after {epochs} epochs {trained:.4g}", network)
        before = trained
