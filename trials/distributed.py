"""One trial on several devices: a process for each, which all take the same steps, each with its part of every batch.

The processes are in torch's default process group: NCCL on CUDA, gloo on a CPU. torch's `DistributedDataParallel`
averages their gradients while the backward pass still runs. Each process weights its loss by its part of the batch, so
that a step is the one that a single process would take on the whole batch, but for what is random or is measured over
a batch:

- augmentation, dropout and noise are drawn by each process by itself, from the same distributions;
- batch normalisation is over the whole batch on CUDA (`torch.nn.SyncBatchNorm`), over each process' part on a CPU,
  where the running averages are averaged over the processes after each epoch;
- penalties and losses that are no means over images (Dice, the load balance of a mixture, the mean over labelled
  pixels) are each process' own, averaged.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

__all__ = ["ALONE", "Processes", "join"]


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

    def wrap(self, model: nn.Module, unused: bool = False) -> nn.Module:
        """The model whose backward pass averages gradients over the processes; the model itself where this is alone.

        All processes go on with the weights of the first. On CUDA the model's batch normalisations are exchanged for
        those over the whole batch, with the same parameters.

        Args:
            unused: some weights never have a gradient.
        """
        if self.size == 1:
            return model
        device = next(model.parameters()).device
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
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


def join(processes: Processes, device: str, meeting: str) -> None:
    """Use `device`, and meet the other processes of this machine, if there are some, at the file `meeting`."""
    on_cuda = device.startswith("cuda")
    if on_cuda:
        torch.cuda.set_device(device)
        os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"  # else torch's watchdog disturbs the capture of a graph
    if processes.size > 1:
        backend, where = "nccl" if on_cuda else "gloo", f"file://{meeting}"
        distributed.init_process_group(backend, init_method=where, rank=processes.rank, world_size=processes.size)
