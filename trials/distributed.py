"""One trial on several devices: a process for each, which all take the same steps, each with its part of every batch.

The processes are in torch's default process group: NCCL on CUDA, gloo on a CPU. In each step the gradients are summed,
weighted by the images that each process had, so that a step is the one that a single process would take on the whole
batch, but for what is random or is measured over a batch:

- augmentation, dropout and noise are drawn by each process by itself, from the same distributions;
- batch normalisation is over the whole batch on CUDA (`torch.nn.SyncBatchNorm`), over each process' part on a CPU,
  where the running averages are averaged over the processes after each epoch;
- penalties and losses that are no means over images (Dice, the load balance of a mixture, the mean over labelled
  pixels) are each process' own, averaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["ALONE", "Processes"]


@dataclass(frozen=True)
class Processes:
    """This process among `size` that train one model together."""

    rank: int = 0
    size: int = 1

    @property
    def stream(self) -> tuple[int, ...]:
        """What a seed is joined with for random numbers of this process' own; nothing where it is alone."""
        return () if self.size == 1 else (self.rank + 1,)

    def part(self, order: Tensor) -> Tensor:
        """This process' samples of each batch: (steps, B) -> (steps, B / size), one more in the first processes where
        that is no whole number."""
        return order.tensor_split(self.size, dim=1)[self.rank]

    def smallest_part(self, batch: int) -> int:
        """Samples of a batch that the last process has."""
        return batch // self.size

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model with one batch normalisation for all processes on CUDA, and the same weights in each."""
        if self.size == 1:
            return model
        if next(model.parameters()).is_cuda:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        for tensor in [*model.parameters(), *model.buffers()]:
            value = tensor.detach().contiguous()
            distributed.broadcast(value, src=0)
            tensor.detach().copy_(value)
        return model

    def combine(self, parameters: Iterable[nn.Parameter], losses: tuple[Tensor, ...], share: float) -> list[Tensor]:
        """Sum gradients and losses (scalars) over the processes, each times its `share` of the batch: the gradients in
        place, float32; the losses are returned. One message, whatever the number of weights."""
        if self.size == 1:
            return list(losses)
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([torch.stack(losses).float(), *(each.flatten().float() for each in gradients)]) * share
        distributed.all_reduce(together)
        sums, *rest = torch.split(together, [len(losses), *(each.numel() for each in gradients)])
        for gradient, total in zip(gradients, rest, strict=True):
            gradient.copy_(total.view(gradient.shape))
        return list(sums)

    def average_statistics(self, model: nn.Module) -> None:
        """Give every process the same running averages of batch normalisation: their mean over the processes."""
        if self.size == 1:
            return
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                assert module.running_var is not None
                for average in (module.running_mean, module.running_var):
                    distributed.all_reduce(average)
                    average /= self.size


ALONE = Processes()
"""The only process."""
