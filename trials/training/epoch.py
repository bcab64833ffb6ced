"""An epoch of training: step by step, or replayed from a CUDA graph.

A replayed step reads everything that changes from device memory: which images, the learning rate, the random numbers'
seed. So the host only says "again", and never waits for the device before the epoch's end.
"""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trials.config import DENSE_FAMILIES, TrialConfig
from trials.data.augment import build_augmentation
from trials.data.loader import (
    epoch_seed,
    seed_generators,
    steps_per_epoch,
    training_batch,
    training_batches,
    training_order,
)
from trials.data.splits import Split
from trials.training.capture import NotCapturable, Pool, capture
from trials.training.distributed import ALONE, Processes
from trials.training.lbfgs import LBFGS
from trials.training.optim import optimizer_record, set_learning_rate
from trials.training.step import backward, train_step, working_precision

__all__ = ["EagerEpoch", "GraphedEpoch", "build_epoch"]

_STEPS_BEFORE_CAPTURE = 11
_log = logging.getLogger(__name__)


class EagerEpoch:
    """Called with an epoch's number, from 0, and the learning rate of each step, trains for that epoch; the mean loss
    without penalties, float64, on the device. Of several processes, each calls its own, with the same result."""

    def __init__(
        self,
        config: TrialConfig,
        model: nn.Module,
        optimizer: Optimizer,
        training: Split,
        processes: Processes = ALONE,
    ) -> None:
        self.config, self.model, self.optimizer, self.training = config, model, optimizer, training
        self.processes, self.network = processes, model
        whole = min(config.images_per_step, len(training))
        self.parts = math.ceil(whole / config.data.batch_size)
        self.share = len(processes.part(torch.empty(1, whole))[0]) / whole
        self.precision = working_precision(config.numbers, training.device)

    def __call__(self, epoch: int, rates: Sequence[float]) -> Tensor:
        data, processes = self.config.data, self.processes
        if self.network is self.model:
            self.network = processes.wrap(self.model, _leaves_out_weights(self.config))
        seed_generators(epoch_seed(self.config.seed, epoch, *processes.stream), self.training.device)
        self.model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.training.device)
        size, seed = self.config.images_per_step, self.config.seed
        batches = training_batches(self.training, size, data.augment, seed, epoch, processes)
        for (images, labels), rate in zip(batches, rates, strict=True):
            set_learning_rate(self.optimizer, rate)
            total += self._train_step(images, labels)
        return processes.sum(total * self.share) / len(rates)

    def _train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        penalties, shared = self.config.regularization, (self.processes, self.share, self.parts)
        summed = optimizer_record(self.config.optimizer).epoch == "line_search"
        batch = (images, labels, self.precision)
        return train_step(self.network, self.optimizer, penalties, *batch, *shared, summed, self.config.loss)

    def release(self) -> None:
        """Give back what a finished trial needs no more. It can't be called afterwards."""


class GraphedEpoch(EagerEpoch):
    """The same numbers from one CUDA graph, captured when it is made and replayed for each step.

    pool: as `trials.training.capture.record` takes it.
    """

    def __init__(
        self,
        config: TrialConfig,
        model: nn.Module,
        optimizer: Optimizer,
        training: Split,
        processes: Processes = ALONE,
        pool: Pool | None = None,
    ) -> None:
        super().__init__(config, model, optimizer, training, processes)
        device, size = training.device, min(config.images_per_step, len(training))
        steps = steps_per_epoch(len(training), size)
        self.generator = torch.Generator(device)
        self.order = processes.part(torch.arange(steps * size, device=device).view(steps, size)).contiguous()
        self.rates = torch.zeros(steps, device=device)
        self.rate = torch.zeros((), device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.augment = build_augmentation(config.data.augment, training)
        if training.rows is not None:  # each step's samples are copied here before it is replayed
            self.samples, self.labels = next(training.batches(self.order[:1]))
        set_learning_rate(optimizer, self.rate)
        model.train()
        buffers = [buffer.clone() for buffer in model.buffers()]
        try:
            self.graph = capture(self._step, self._warm_up, device, [self.generator], pool, self._join)
        finally:
            for buffer, value in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(value)

    def __call__(self, epoch: int, rates: Sequence[float]) -> Tensor:
        own = epoch_seed(self.config.seed, epoch, *self.processes.stream)
        torch.manual_seed(own)
        self.generator.manual_seed(epoch_seed(self.config.seed, epoch))
        order = training_order(len(self.training), self.config.images_per_step, self.generator)
        if self.processes.stream:
            order = self.processes.part(order)
            self.generator.manual_seed(own)
        self.order.copy_(order)
        self.rates.copy_(torch.tensor(rates))
        self.step.zero_()
        self.total.zero_()
        if self.training.rows is None:
            for _ in rates:
                self.graph.replay()
        else:
            for samples, labels in self.training.batches(order):
                self.samples.copy_(samples)
                self.labels.copy_(labels)
                self.graph.replay()
        return self.processes.sum(self.total * self.share) / len(rates)

    def release(self) -> None:
        self.graph.reset()

    def _step(self) -> None:
        images, labels = self._batch()
        self.rate.copy_(self.rates.index_select(0, self.step)[0])
        self.total += self._train_step(images, labels)
        self.step += 1

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self.training.rows is None:
            chosen = self.order.index_select(0, self.step)[0]
            samples, labels = self.training.images[chosen], self.training.labels[chosen]
        else:
            samples, labels = self.samples, self.labels
        return training_batch(self.training, samples, labels, self.augment, self.generator)

    def _backward(self, network: nn.Module) -> None:
        penalties, batch = self.config.regularization, self._batch()
        backward(network, penalties, *batch, self.precision, parts=self.parts, regression=self.config.loss)

    def _warm_up(self) -> None:
        """Do what the first step alone does: load kernels, and make the optimizer's state, which starts at zero."""
        self._backward(self.model)
        if not self.optimizer.state:
            for p in self.model.parameters():
                p.grad = torch.zeros_like(p) if p.requires_grad else None
            self.optimizer.step()  # its learning rate is 0, and so it changes nothing
            for state in self.optimizer.state.values():
                state.get("step", self.total).zero_()
        self.optimizer.zero_grad()

    def _join(self) -> None:
        """Train together with the other processes, if there are some, from here on.

        torch wants `DistributedDataParallel` to be made on the stream that it is captured on, and used so often before.
        """
        if self.processes.size == 1:
            return
        self.network = self.processes.wrap(self.model)
        for _ in range(_STEPS_BEFORE_CAPTURE):
            self._backward(self.network)
        self.optimizer.zero_grad()


def build_epoch(
    config: TrialConfig,
    model: nn.Module,
    optimizer: Optimizer,
    training: Split,
    graphs: bool | None = None,
    processes: Processes = ALONE,
    pool: Pool | None = None,
) -> EagerEpoch:
    """The epoch of the optimizer's record where the device is CUDA and the step can be captured, unless `graphs` is
    False. Several processes take a line search step by step.

    Where it cannot be, one line is logged; with graphs=True the reason is raised instead. pool: of the graphs' memory.
    """
    kind = optimizer_record(config.optimizer).epoch
    if (
        graphs is False
        or kind == "eager"
        or training.device.type != "cuda"
        or (processes.size > 1 and _leaves_out_weights(config))
    ):
        return EagerEpoch(config, model, optimizer, training, processes)
    if kind == "line_search" and processes.size > 1:
        _log.info("no CUDA graph: several processes take L-BFGS step by step")
        return EagerEpoch(config, model, optimizer, training, processes)
    try:
        if kind == "line_search":
            from trials.training.lbfgs_epoch import LineSearchEpoch  # it builds on this module

            assert isinstance(optimizer, LBFGS)
            return LineSearchEpoch(config, model, optimizer, training, pool)
        return GraphedEpoch(config, model, optimizer, training, processes, pool)
    except NotCapturable as error:
        if graphs:
            raise
        _log.warning("no CUDA graph: the training step waits for the device: %s", str(error))
    optimizer.zero_grad()
    gc.collect()  # what is left of the pass that failed, in the error's traceback, remembers the stream it ran on
    return EagerEpoch(config, model, optimizer, training, processes)


def _leaves_out_weights(config: TrialConfig) -> bool:
    """Whether some weights never have a gradient: those of coarser levels' outputs whose losses don't count."""
    return config.model.family in DENSE_FAMILIES and not config.regularization.side_weight
