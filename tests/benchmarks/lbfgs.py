"""Steps a second of L-BFGS on CUDA, from graphs and with torch's optimizer: `python -m tests.benchmarks.lbfgs`.

The networks are the first of a seeded draw from search_spaces/fashion_mnist.yaml whose optimizer is L-BFGS, below the
space's limit of parameters. The data are random bytes as large as Fashion-MNIST's. "torch" is `torch.optim.LBFGS` with
a strong-Wolfe line search, step by step, as trials ran it before; "eager" is our optimizer without graphs. Each figure
is the median of some repetitions, after one to warm up. "evaluations" are those of a step from graphs. "first step" is
the relative difference of the mean losses of the first two steps, "last" that of the last repetition.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from torch.optim import Optimizer

from kansearch.space import find_space, load_space
from tests.benchmarks.draws import Sequence
from trials.config import LBFGSConfig, TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import Split, random_split
from trials.measure.sizes import count_parameters
from trials.training.epoch import EagerEpoch, build_epoch
from trials.training.lbfgs import LBFGS
from trials.training.optim import build_optimizer
from trials.training.run import build_on

LIMIT = 100_000


def draw(count: int, seed: int) -> Iterator[TrialConfig]:
    """The first `count` configurations with L-BFGS that the search would train."""
    sequence = Sequence(load_space(find_space("fashion_mnist")), seed)
    found = index = 0
    while found < count:
        config = sequence.at(index).config
        index += 1
        if isinstance(config.optimizer, LBFGSConfig) and count_parameters(config) <= LIMIT:
            found += 1
            yield config


def build(kind: str, config: TrialConfig, split: Split) -> EagerEpoch:
    """An epoch of the same first weights, by "torch", "eager" or "graphs"."""
    torch.manual_seed(0)
    model = build_on(config, split.device)
    options = config.optimizer
    assert isinstance(options, LBFGSConfig)
    if kind == "torch":
        optimizer: Optimizer = torch.optim.LBFGS(
            [p for p in model.parameters() if p.requires_grad],
            lr=options.lr,
            max_iter=options.max_iter,
            history_size=options.history_size,
            line_search_fn="strong_wolfe",
        )
        return EagerEpoch(config, model, optimizer, split)
    return build_epoch(config, model, build_optimizer(options, model), split, graphs=kind == "graphs")


def measure(epoch: EagerEpoch, steps: int, repetitions: int) -> tuple[float, list[float]]:
    """Steps a second, and the mean loss of each repetition, the one to warm up first."""
    rates = [epoch.config.optimizer.lr] * steps
    losses, seconds = [], []
    for number in range(repetitions + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(float(epoch(number, rates)))
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return steps / statistics.median(seconds[1:]), losses


def described(config: TrialConfig) -> str:
    model, basis = config.model.model_dump(), config.model.basis.name
    shape = f"{model['depth']}x{model['width']} {basis}, {model['normalization']}, {model['head']}"
    return f"{shape}, batch {config.data.batch_size}, history {config.optimizer.model_dump()['history_size']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=6, help="configurations")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--steps", type=int, default=30, help="of a repetition")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--precision", default="float32", choices=["auto", "float32", "bfloat16"])
    options = parser.parse_args()
    device = torch.device("cuda")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {options.precision}, steps a second")
    print(
        f"{'network':<62} {'parameters':>10} {'setup s':>8} {'torch':>7} {'eager':>7} {'graphs':>7} {'ratio':>6} "
        f"{'evaluations':>11} {'first step':>10} {'last':>8}"
    )
    ratios = []
    for drawn in draw(options.count, options.seed):
        config = drawn.model_copy(update={"precision": options.precision})
        split = random_split(data_shape(config.data), options.steps * config.data.batch_size, device)
        two = random_split(data_shape(config.data), 2 * config.data.batch_size, device)
        speeds, losses, firsts = {}, {}, {}
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
            for kind in ("torch", "eager", "graphs"):
                firsts[kind] = float(build(kind, config, two)(0, [config.optimizer.lr] * 2))
                start = time.perf_counter()
                epoch = build(kind, config, split)
                setup = time.perf_counter() - start
                speeds[kind], losses[kind] = measure(epoch, options.steps, options.repetitions)
        optimizer = epoch.optimizer
        assert isinstance(optimizer, LBFGS)
        evaluations = optimizer.evaluations / ((options.repetitions + 1) * options.steps)
        first = abs(firsts["graphs"] / firsts["torch"] - 1)
        last = abs(losses["graphs"][-1] / losses["torch"][-1] - 1)
        ratios.append(speeds["graphs"] / speeds["torch"])
        print(
            f"{described(config):<62} {count_parameters(config):>10,} {setup:>8.2f} {speeds['torch']:>7.1f} "
            f"{speeds['eager']:>7.1f} {speeds['graphs']:>7.1f} {ratios[-1]:>6.1f} {evaluations:>11.2f} "
            f"{first:>10.1e} {last:>8.1e}",
            flush=True,
        )
    print(f"ratio: median {statistics.median(ratios):.1f}, least {min(ratios):.1f}")


if __name__ == "__main__":
    main()
