"""Edges taken out within a tolerance of the validation error, with training between: `compress --tolerance`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import load_training
from trials.results import EpochResult
from trials.saved.compress.finetune import finetune
from trials.saved.compress.prune import count_edges
from trials.saved.compress.within import Edge, least_harmful, prune_within, remove_one, validation_error
from trials.saved.trained import TrainedModel, as_trained

__all__ = ["SHOWN", "prune_and_train"]

SHOWN = 512
"""Samples of the training split, unaugmented, whose way through the network says what an edge does."""
_ROUNDS = 5
"""Times at most that many edges are taken out at once."""
_SMALL, _FAILURES = 64, 4
"""Edges of a network that are tried one by one, and how many in a row are needed where that ends."""


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

    Edges go while the validation error is at most 1 + `tolerance` times what it was at first. What is left is trained,
    and a round that ends above 1 + `tolerance` times the least error so far is undone. Then the edges of a small
    network are tried one by one, those first without which the error is least, until some in a row are needed. Training
    is `finetune`'s, for `epochs`, without the penalties that make a network sparse. step: told of each round that
    stays, and of the network then. Raises ValueError where there is no validation part, and what training raises.
    """
    network, cpu = model.network, torch.device("cpu")
    training, held_out = load_training(config.data, cpu, data_dir)
    if held_out is None:
        raise ValueError("--tolerance is of the validation error, and data.validation is 0; give --prune SHARE")
    shown, _ = next(iter(evaluation_batches(as_trained(model, training), SHOWN)))
    error = validation_error(as_trained(model, held_out))
    sparse = config.regularization.model_copy(update={"l1_weight": 0.0, "edge_entropy": 0.0})
    own = config.model_copy(update={"regularization": sparse})
    least = error(network)
    limit = (1 + tolerance) * least

    def stays(before: dict[str, Tensor], what: str, found: float) -> bool:
        """Train; whether the error is small enough. If not the network is what it was before."""
        nonlocal least
        if epochs:
            finetune(model, own, epochs, rate, data_dir, epoch, hold_out=True)
        trained = error(network)
        if trained > (1 + tolerance) * least:
            network.load_state_dict(before)
            return False
        step(f"{what} removed, validation error {found:.4g}, {trained:.4g} after {epochs} epochs", network)
        least = min(least, trained)
        return True

    for turn in range(_ROUNDS):
        kept = _copy(network)
        gone, found = prune_within(network, shown, limit, error)
        if (turn and not gone) or not stays(kept, _edges(gone), found):
            break
    needed: set[Edge] = set()
    failures = 0
    while epochs and count_edges(network)[1] <= _SMALL and failures < _FAILURES:
        kept = _copy(network)
        tried = least_harmful(network, shown, error, needed)
        if tried is None:
            return
        edge, found = tried
        edges = count_edges(network)[0]
        remove_one(network, shown, edge)
        if stays(kept, _edges(edges - count_edges(network)[0]), found):
            failures = 0
        else:
            needed.add(edge)
            failures += 1


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _edges(count: int) -> str:
    return "1 edge" if count == 1 else f"{count:,} edges"
