"""Trials that change their optimizer: AdamW first, then L-BFGS, which ends near a minimum what AdamW began.

What optimizer an epoch has follows from the configuration alone, so that a resumed trial needs to know no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from trials.config import TrialConfig
from trials.config.optimizer import AdamWConfig, AdamWThenLBFGSConfig, LBFGSConfig

__all__ = ["Phase", "phase_of"]


@dataclass(frozen=True)
class Phase:
    """Epochs `first` to `last` - 1, from 0, that train by one optimizer: `config` is the trial's, but for that."""

    config: TrialConfig
    first: int
    last: int


def phase_of(config: TrialConfig, epoch: int) -> Phase:
    """The phase that an epoch, from 0, belongs to.

    The learning-rate schedule, with its warm-up, is AdamW's, and ends with it; L-BFGS begins each line search alike.
    One epoch alone is AdamW's.
    """
    both = config.optimizer
    if not isinstance(both, AdamWThenLBFGSConfig):
        return Phase(config, 0, config.epochs)
    switch = max(1, min(round(both.switch * config.epochs), config.epochs - 1))
    if epoch < switch:
        adamw = AdamWConfig(name="adamw", lr=both.lr, weight_decay=both.weight_decay)
        return Phase(config.model_copy(update={"optimizer": adamw}), 0, switch)
    lbfgs = LBFGSConfig(name="lbfgs", history_size=both.history_size, max_iter=both.max_iter)
    changes = {"optimizer": lbfgs, "schedule": "constant", "warmup": 0.0}
    return Phase(config.model_copy(update=changes), switch, config.epochs)
