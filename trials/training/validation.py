"""A pass of validation: step by step, or replayed from CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import Split
from trials.measure.regression import SCORES
from trials.measure.scores import PIXEL_SCORES, SAMPLE_SCORES, sample_scores
from trials.training.capture import NotCapturable, Pool, record, rehearse
from trials.training.step import EVALUATION_BATCH, autocast, measure, working_precision

__all__ = ["EagerValidation", "GraphedValidation", "build_validation"]

_log = logging.getLogger(__name__)


class EagerValidation:
    """Called, gives the scores of the model on the split by their names: those of `SAMPLE_SCORES`, where each pixel has
    a class of `PIXEL_SCORES`, of a regression `SCORES`."""

    def __init__(self, config: TrialConfig, model: nn.Module, split: Split) -> None:
        self.model, self.split, self.regression = model, split, config.loss
        self.precision = working_precision(config.numbers, split.device)
        self.whole = split.dense or split.targets is not None
        names = PIXEL_SCORES if split.dense else SAMPLE_SCORES
        self.names = SCORES if split.targets is not None else tuple(names)

    def __call__(self) -> dict[str, float]:
        return dict(zip(self.names, self.measure().tolist(), strict=True))

    def measure(self) -> Tensor:
        return measure(self.model, self.split, self.precision, self.regression)

    def release(self) -> None:
        """Give back what a finished trial needs no more. It can't be called afterwards."""


class GraphedValidation(EagerValidation):
    """The same from CUDA graphs. One is of a whole batch, recorded with the second batch. Another is of what is left
    over and of the measurements, recorded in the second pass. What runs only once is never recorded.

    needed: raise NotCapturable in the first pass where the model waits for the device; else one line is logged, and
    every pass runs step by step. pool: as `trials.training.capture.record` takes it.
    """

    def __init__(
        self,
        config: TrialConfig,
        model: nn.Module,
        split: Split,
        needed: bool = False,
        pool: Pool | None = None,
    ) -> None:
        super().__init__(config, model, split)
        self.needed, self.waits, device = needed, False, split.device
        self.batch, self.rest = Replayed(device, pool), Replayed(device, pool)
        kind = torch.float64 if self.whole else torch.float32
        self.result = torch.zeros(len(self.names), dtype=kind, device=device)
        self.batches = 0 if self.whole else len(split) // EVALUATION_BATCH
        self.first = torch.arange(EVALUATION_BATCH, device=device)
        self.chosen = self.first.clone()
        self.logits = torch.zeros(len(split), data_shape(config.data).classes, device=device)

    def measure(self) -> Tensor:
        if self.waits:
            return super().measure()
        try:
            self.model.eval()
            self.chosen.copy_(self.first)
            for _ in range(self.batches):
                self.batch(self._batch)
            self.rest(self._measured if self.whole else self._rest)
        except NotCapturable as error:
            if self.needed:
                raise
            _log.warning("no CUDA graph: validation waits for the device: %s", str(error))
            self.waits = True
            return super().measure()
        return self.result

    def release(self) -> None:
        self.batch.release()
        self.rest.release()

    @torch.no_grad()
    def _batch(self) -> None:
        with autocast(self.split.device, self.precision):
            images = self.split.normalised(self.split.images.index_select(0, self.chosen))
            self.logits.index_copy_(0, self.chosen, self.model(images).float())
        self.chosen += EVALUATION_BATCH

    @torch.no_grad()
    def _rest(self) -> None:
        done = self.batches * EVALUATION_BATCH
        if done < len(self.split):
            with autocast(self.split.device, self.precision):
                images = self.split.normalised(self.split.images[done:])
                self.logits[done:].copy_(self.model(images).float())
        self.result.copy_(sample_scores(self.logits, self.split.labels))

    def _measured(self) -> None:
        self.result.copy_(super().measure())


class Replayed:
    """Runs the function that it is called with step by step at first, records it the second time, and then replays the
    CUDA graph. Each time the function must be the same; it is not kept, so that what it belongs to is no cycle."""

    def __init__(self, device: torch.device, pool: Pool | None) -> None:
        self.device, self.pool, self.rehearsed = device, pool, False
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, function: Callable[[], object]) -> None:
        if not self.rehearsed:
            rehearse(function, self.device)
            self.rehearsed = True
            return
        self.graph = self.graph or record(function, self.device, pool=self.pool)
        self.graph.replay()

    def release(self) -> None:
        if self.graph is not None:
            self.graph.reset()


def build_validation(
    config: TrialConfig,
    model: nn.Module,
    split: Split,
    graphs: bool | None = None,
    pool: Pool | None = None,
) -> EagerValidation:
    """A GraphedValidation where the device is CUDA and the split lies on it, unless `graphs` is False.

    graphs=True: raise NotCapturable in the first pass where it cannot be captured. pool: GraphedValidation's.
    """
    if graphs is False or split.rows is not None or split.device.type != "cuda":
        return EagerValidation(config, model, split)
    return GraphedValidation(config, model, split, graphs is True, pool)
