"""One trial on several devices: a process for each, which all take the same steps, each with its part of every batch.

The processes are in torch's default process group: NCCL on CUDA, gloo on a CPU. torch's `DistributedDataParallel`
averages their gradients while the backward pass still runs. Each process weights its loss by its part of the batch, so
that a step is the one that a single process would take on the whole batch. Batch normalisation is over the whole batch
too: over half of a batch of 128 it costs 2.3 % of the training loss (digits, 10 epochs). What is not the same:

- where batches are accumulated, a process accumulates parts of its own share of all of them: batch normalisation sees
  other images together;
- augmentation, dropout and noise are drawn by each process by itself, from the same distributions;
- penalties and losses that are no means over images (Dice, the load balance of a mixture, the mean over labelled
  pixels) are each process' own, averaged.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from trials.models.normalization import is_wide, widen

__all__ = ["ALONE", "Processes", "join"]


@dataclass(frozen=True)
class Processes:
    """This process among `size` that train one model together."""

    rank: int = 0
    size: int = 1

    @property
    def stream(self) -> tuple[int, ...]:
        """Integers that a seed is joined with for random numbers of this process' own; empty where it is alone."""
        return () if self.size == 1 else (self.rank + 1,)

    def part(self, order: Tensor) -> Tensor:
        """This process' samples of each batch: (steps, B) -> (steps, B / size), one more in the first processes where
        that is no whole number."""
        return order.tensor_split(self.size, dim=1)[self.rank]

    def smallest_part(self, batch: int) -> int:
        """Samples of a batch that the last process has."""
        return batch // self.size

    def wrap(self, model: nn.Module, unused: bool = False) -> nn.Module:
        """The model whose backward pass averages gradients over the processes; the model itself where this is alone.

        All processes go on with the weights of the first. The model's batch normalisations are exchanged for those over
        the whole batch, with the same parameters.

        Args:
            unused: some weights never have a gradient.
        """
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        if device.type == "cuda":
            model = _synchronised(model)
        for module in model.modules():
            if isinstance(module, _BatchNorm) and device.type == "cpu":
                module.__class__ = _CPUSyncBatchNorm  # the same weights and averages, another forward pass
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`broadcast_buffers`", category=FutureWarning)  # since torch 2.14
            return DistributedDataParallel(
                model,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
                find_unused_parameters=unused,
            )

    def sum(self, value: Tensor) -> Tensor:
        """The sum of each process' value."""
        if self.size == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total)
        return total


ALONE = Processes()
"""The only process."""


class _Sum(torch.autograd.Function):
    """The sum over the processes; each gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad)


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total


def _synchronised(model: nn.Module) -> nn.Module:
    """The model with torch's synchronised batch normalisations, in float32 where those before them were."""
    wide = {name for name, module in model.named_modules() if is_wide(module)}
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    for name, module in model.named_modules():
        if name in wide and not is_wide(module):  # its hook was left behind
            widen(module)
    return model


class _CPUSyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, as `torch.nn.SyncBatchNorm` is on a GPU alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        dims, shape = [0, *range(2, x.dim())], (1, -1, *(1 for _ in x.shape[2:]))
        wide = x.float()
        count = _sum(torch.tensor(x.numel() / x.shape[1]))
        mean = _sum(wide.sum(dims)) / count  # (C,)
        centred = wide - mean.view(shape)
        variance = _sum(centred.square().sum(dims)) / count
        self._note(mean.detach(), variance.detach() * count / (count - 1))
        y: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1

    def _check_input_dim(self, x: Tensor) -> None:
        """Any."""


def join(processes: Processes, device: str, meeting: str) -> None:
    """Use `device`, and meet the other processes of this machine, if there are some, at the file `meeting`."""
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.cuda.set_device(device)
        os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"  # else torch's watchdog disturbs the capture of a graph
    if processes.size > 1:
        backend, where = "nccl" if on_cuda else "gloo", f"file://{meeting}"
        distributed.init_process_group(backend, init_method=where, rank=processes.rank, world_size=processes.size)
