"""A few more epochs of training for a network that has been changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from trials.config import AdaptGridConfig, GridScheduleConfig, TrialConfig
from trials.data.splits import load_training
from trials.results import EpochResult
from trials.saved.compress.figures import sizes_of
from trials.saved.compress.prune import zeros_held
from trials.saved.trained import TrainedModel, as_trained
from trials.training.loop import train
from trials.training.optim import build_optimizer

__all__ = ["finetune"]


def finetune(
    model: TrainedModel,
    config: TrialConfig,
    epochs: int,
    rate: float,
    data_dir: Path | None,
    progress: Callable[[EpochResult], None],
    hold_out: bool = False,
) -> None:
    """Train the network of a model for `epochs` on the training split.

    Optimizer, schedule, batches, augmentation, penalties and seed are the configuration's, and the learning rate is
    `rate` times its own. Grids stay as they are, and edges that are zero stay zero. hold_out: leave the validation part
    out. The network comes back on the CPU and in eval mode. Raises what training raises.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = config.optimizer.model_copy(update={"lr": config.optimizer.lr * rate})
    still = {"grid_schedule": GridScheduleConfig(), "adapt_grid": AdaptGridConfig()}
    own = config.model_copy(update={"epochs": epochs, "optimizer": optimizer, **still})
    network = model.network
    training = as_trained(model, load_training(config.data, device, data_dir, hold_out=hold_out)[0])
    sizes = sizes_of(config, network)
    network.to(device)
    with zeros_held(network), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        for result in train(own, network, build_optimizer(optimizer, network), training, None, sizes=sizes):
            progress(result)
    network.to("cpu").eval()
