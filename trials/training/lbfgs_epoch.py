"""An epoch of L-BFGS from CUDA graphs: the device computes, and the host decides how far to go.

    batch        select and augment a step's samples                     replayed once a step
    loss         `LBFGS.measure`: loss and gradient at x + t·d           for each evaluation
    direction    `LBFGS.aim`: curvature pairs and d                      for each iteration

The host waits after each `loss` and each `direction` for a few numbers, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.augment import build_augmentation
from trials.data.loader import epoch_seed, steps_per_epoch, training_batch, training_order
from trials.data.splits import Split
from trials.training.capture import Pool, capture
from trials.training.epoch import EagerEpoch
from trials.training.lbfgs import LBFGS
from trials.training.optim import set_learning_rate
from trials.training.step import backward

__all__ = ["LineSearchEpoch"]


class LineSearchEpoch(EagerEpoch):
    """The numbers of an EagerEpoch, to rounding. All evaluations of a step see one batch, augmented once; each draws
    dropout and noise anew, and updates the statistics of batch normalisation.

    Raises NotCapturable where the model waits for the device.
    """

    optimizer: LBFGS

    def __init__(
        self,
        config: TrialConfig,
        model: nn.Module,
        optimizer: LBFGS,
        training: Split,
        pool: Pool | None = None,
    ) -> None:
        super().__init__(config, model, optimizer, training)
        device, size = training.device, min(config.images_per_step, len(training))
        steps = steps_per_epoch(len(training), size)
        self.generator = torch.Generator(device)
        self.order = torch.arange(steps * size, device=device).view(steps, size)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.total = torch.zeros_like(self.loss)
        self.augment = build_augmentation(config.data.augment, training)
        if training.rows is not None:  # each step's samples are copied here before it is replayed
            self.samples, self.labels = next(training.batches(self.order[:1]))
        model.train()
        buffers = [buffer.clone() for buffer in model.buffers()]
        try:
            self._capture(device, pool)
        finally:
            optimizer.zero_grad()
            for buffer, value in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(value)

    def __call__(self, epoch: int, rates: Sequence[float]) -> Tensor:
        seed = epoch_seed(self.config.seed, epoch)
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)
        order = training_order(len(self.training), self.config.images_per_step, self.generator)
        self.order.copy_(order)
        self.number.zero_()
        self.total.zero_()
        batches = self.training.batches(order) if self.training.rows is not None else [None] * len(rates)
        for batch, rate in zip(batches, rates, strict=True):
            if batch is not None:
                self.samples.copy_(batch[0])
                self.labels.copy_(batch[1])
            set_learning_rate(self.optimizer, rate)
            self._replay()
        return self.total / len(rates)

    def release(self) -> None:
        for graph in (self.batch, self.measure, self.direction):
            graph.reset()

    def _replay(self) -> None:
        """One step; its first loss without penalties is added to the total."""
        first = True

        def measure() -> None:
            nonlocal first
            self.measure.replay()
            if first:
                self.total += self.loss
            first = False

        self.batch.replay()
        self.optimizer.minimize(measure, self.direction.replay)

    def _capture(self, device: torch.device, pool: Pool | None) -> None:
        """Capture the graphs; a replay of the first makes the batch with which the others are warmed up."""
        self.batch = capture(self._select, self._select, device, [self.generator], pool)
        self.number.zero_()
        self.batch.replay()
        self.optimizer.start()
        self.measure = capture(self._measure, self._measure, device, pool=pool)
        self.direction = capture(self.optimizer.aim, self.optimizer.rehearse, device, pool=pool)

    def _select(self) -> None:
        if self.training.rows is None:
            chosen = self.order.index_select(0, self.number)[0]
            samples, labels = self.training.images[chosen], self.training.labels[chosen]
        else:
            samples, labels = self.samples, self.labels
        self.inputs, self.targets = training_batch(self.training, samples, labels, self.augment, self.generator)
        self.number += 1

    def _measure(self) -> None:
        self.optimizer.measure(self._closure)

    def _closure(self) -> Tensor:
        self.optimizer.zero_grad()
        penalties = self.config.regularization
        batch = (self.inputs, self.targets, self.precision)
        loss, penalised = backward(self.model, penalties, *batch, parts=self.parts, regression=self.config.loss)
        self.loss.copy_(loss)
        return penalised
