"""What do KANs want? Basis, depth, first weights and learning rate in all combinations, without a search.

    python -m tests.benchmarks.factorial RECORDS --minutes 8                    experiment B, which decides the defaults
    python -m tests.benchmarks.factorial RECORDS --design small --minutes 8     6,500 parameters, depth 4
    python -m tests.benchmarks.factorial RECORDS --design deep --minutes 8      13,000 parameters, depth 8

All train on Fashion-MNIST with a tenth of the training images held out, in batches of 128, with AdamW, a weight decay
of 1e-3 and a cosine schedule. The networks are of the family `plain` with growth 1, three halvings, affine norms and a
pooled head: their blocks differ in the basis alone. Accuracy is that on the held-out images, after the first epoch,
which early stopping judges, and after the last. docs/what_kans_want.md has the tables.

`factorial`: widths for 6,000 parameters, 9 epochs, 3 seeds. A cell is the mean over the seeds at the learning rate that
is best after the last epoch. `small`: 27 epochs, 5 seeds, at the better of two learning rates. `deep`: 20 epochs, 5
seeds. Both compare each KAN with the better plain network seed by seed.

First weights: `half` gives the basis half of the output's variance, `gain` (`basis_share: null`) the share that keeps
gradients from growing, `power_law` is arXiv 2509.03417's, `default` what a configuration has that says nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy import stats

from tests.benchmarks.experiment import Records, add_arguments, experiment
from tests.benchmarks.side_by_side import Order
from trials.config import TrialConfig
from trials.measure.sizes import count_parameters

__all__ = ["DESIGNS", "Design", "Network", "cells", "orders", "table"]

WEIGHTS: dict[str, dict[str, Any]] = {
    "half": {"init": "variance", "basis_share": 0.5},
    "gain": {"init": "variance", "basis_share": None},
    "power_law": {"init": "power_law"},
    "default": {},
}
_WITHOUT_SHARE = ("none", "rational")
"""Networks of one kind of first weights: they have no basis branch beside a base branch."""


@dataclass(frozen=True)
class Network:
    """A row of a table: a basis, and the width for which it is given; None: that for the design's parameters."""

    name: str
    basis: Mapping[str, Any]
    width: int | None = None
    bottleneck: int | None = None
    known: float | None = None
    """The best accuracy of this network before, with weights of any kind; None where there is none."""

    @property
    def plain(self) -> bool:
        return bool(self.basis["name"] == "none")


@dataclass(frozen=True)
class Design:
    """What is combined with what."""

    networks: tuple[Network, ...]
    depths: tuple[int, ...]
    rates: tuple[float, ...]
    seeds: int
    epochs: int
    weights: tuple[str, ...]
    parameters: int | None = None


def _basis(name: str, **sizes: Any) -> dict[str, Any]:
    return {"name": name, **sizes}


PLAIN, GRAM1, GRAM3 = _basis("none"), _basis("gram", degree=1), _basis("gram", degree=3)
CHEBYSHEV, SPLINE = _basis("chebyshev", degree=3), _basis("bspline", grid_size=5, spline_order=3)
FOURIER, RBF5 = _basis("fourier", grid_size=2), _basis("rbf", grid_size=5)
RATIONAL = _basis("rational")

DESIGNS = {
    "factorial": Design(
        (
            Network("plain", PLAIN),
            Network("gram(1)", GRAM1),
            Network("gram(3)", GRAM3),
            Network("chebyshev(3)", CHEBYSHEV),
            Network("bspline(5,3)", SPLINE),
            Network("rbf(8)", _basis("rbf", grid_size=8)),
            Network("fourier(2)", FOURIER),
            Network("rational", RATIONAL),
        ),
        depths=(2, 4, 8), rates=(3e-3, 1e-2, 3e-2), seeds=3, epochs=9, weights=("half", "gain", "power_law"),
        parameters=6_000,
    ),
    "small": Design(
        (
            Network("gram(1)", GRAM1, 11, known=0.9162),
            Network("gram(3)", GRAM3, 7, known=0.9100),
            Network("chebyshev(3)", CHEBYSHEV, 7, known=0.9050),
            Network("fourier(2)", FOURIER, 7, known=0.9052),
            Network("rbf(5)", RBF5, 6, known=0.9062),
            Network("bspline(5,3)", SPLINE, 5, known=0.8994),
            Network("morlet(3)", _basis("wavelet", kind="morlet", count=3), 7, known=0.9010),
            Network("relu", _basis("relu"), 5, known=0.9022),
            Network("plain", PLAIN, 15, known=0.9220),
            Network("plain, bottleneck 2", PLAIN, 24, 2, known=0.9234),
            Network("rational", RATIONAL, 15),
            Network("rational, bottleneck 2", RATIONAL, 24, 2),
            Network("gram(1), bottleneck 2", GRAM1, 19, 2),
        ),
        depths=(4,), rates=(6e-3, 1.8e-2), seeds=5, epochs=27, weights=("default",),
    ),
    "deep": Design(
        (
            Network("gram(1)", GRAM1, 10, known=0.9266),
            Network("gram(3)", GRAM3, 7, known=0.9240),
            Network("chebyshev(3)", CHEBYSHEV, 7, known=0.9191),
            Network("rbf(5)", RBF5, 6, known=0.9208),
            Network("bspline(5,3)", SPLINE, 5, known=0.9162),
            Network("fourier(2)", FOURIER, 6, known=0.9122),
            Network("plain", PLAIN, 14, known=0.9251),
            Network("rational", RATIONAL, 14),
        ),
        depths=(8,), rates=(1.2e-2,), seeds=5, epochs=20, weights=("default",),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Runs that differ in learning rate and seed alone."""

    network: Network
    depth: int
    weights: str
    config: Mapping[str, Any]
    parameters: int


def cells(given: argparse.Namespace, left_out: list[str] | None = None) -> list[Cell]:
    """The cells of the design. What this version can't be configured to is left out, with its reason in `left_out`."""
    design, found = DESIGNS[given.design], list[Cell]()
    networks = [each for each in design.networks if not given.networks or each.name in given.networks]
    for network, depth in product(networks, design.depths):
        one_kind = network.basis["name"] in _WITHOUT_SHARE
        for weights in ("default",) if one_kind else given.weights or design.weights:
            try:
                config, parameters = _sized(given, design, network, depth, WEIGHTS[weights])
            except ValidationError as error:
                reasons = "; ".join(f"{'.'.join(map(str, each['loc'][2:]))}: {each['msg']}" for each in error.errors())
                if left_out is not None:
                    left_out.append(f"left out: {network.name}, weights {weights}: {reasons}")
                continue
            found.append(Cell(network, depth, weights, config, parameters))
    return found


def _sized(
    given: argparse.Namespace, design: Design, network: Network, depth: int, weights: Mapping[str, Any]
) -> tuple[Mapping[str, Any], int]:
    """The configuration without learning rate and seed, and its parameters."""

    def of_width(width: int) -> tuple[Mapping[str, Any], int]:
        config = {
            "data": {"dataset": given.dataset, "limit": given.limit, "batch_size": 128},
            "model": {
                "family": "plain", "depth": depth, "width": width, "growth": 1, "halvings": 3, "head": "pool",
                "affine": True, "bottleneck": network.bottleneck, "basis": dict(network.basis), **weights,
            },
            "schedule": "cosine",
            "epochs": given.epochs or design.epochs,
        }  # fmt: skip
        return config, count_parameters(TrialConfig.model_validate(config))

    if network.width is not None:
        return of_width(network.width)
    assert design.parameters is not None
    width, best = 1, of_width(1)
    while best[1] < design.parameters:
        width += 1
        wider = of_width(width)
        if abs(wider[1] - design.parameters) > abs(best[1] - design.parameters):
            break
        best = wider
    return best


def orders(given: argparse.Namespace, all_cells: Sequence[Cell]) -> list[Order]:
    """All runs, seed by seed: whatever is done is a smaller experiment of its own."""
    design = DESIGNS[given.design]
    every = product(range(given.seeds or design.seeds), all_cells, design.rates)
    return [_order(given, cell, rate, seed) for seed, cell, rate in every]


def _order(given: argparse.Namespace, cell: Cell, rate: float, seed: int) -> Order:
    labels = {**_labels(given, cell), "lr": rate, "seed": seed}
    optimizer = {"name": "adamw", "lr": rate, "weight_decay": 1e-3}
    config = {**cell.config, "optimizer": optimizer, "seed": seed}
    return Order(labels, config)


def _labels(given: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    own = {"network": cell.network.name, "depth": cell.depth, "weights": cell.weights}
    return {"design": given.design, **own, "epochs": cell.config["epochs"], "limit": given.limit}


# -- the tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A cell at its best learning rate, over the seeds."""

    cell: Cell
    rate: float
    first: Mapping[int, float]
    last: Mapping[int, float]
    """Accuracy after the first and after the last epoch, by seed."""


def best_results(given: argparse.Namespace, all_cells: Sequence[Cell], records: Records) -> list[Result]:
    """Of each cell the learning rate with the best mean after the last epoch; cells without a run are left out."""
    found = []
    for cell in all_cells:
        rows = records.having(**_labels(given, cell))
        by_rate = [_result(cell, rate, rows) for rate in DESIGNS[given.design].rates]
        tried = [result for result in by_rate if result.last]
        if tried:
            found.append(max(tried, key=lambda result: fmean(result.last.values())))
    return found


def _result(cell: Cell, rate: float, rows: Sequence[Mapping[str, Any]]) -> Result:
    curves = {row["labels"]["seed"]: row["curve"]["accuracy"] for row in rows if row["labels"]["lr"] == rate}
    return Result(
        cell, rate, {seed: curve[0] for seed, curve in curves.items()},
        {seed: curve[-1] for seed, curve in curves.items()},
    )  # fmt: skip


def table(given: argparse.Namespace, all_cells: Sequence[Cell], records: Records) -> str:
    """What is done of the design, in Markdown."""
    results = best_results(given, all_cells, records)
    if not results:
        return "nothing is done yet"
    lines = _by_weights(results) if given.design == "factorial" else _by_network(results)
    all_orders = orders(given, all_cells)
    done = sum(order.key in records.rows for order in all_orders)
    unfinished = "" if done == len(all_orders) else f"Unfinished, decides nothing: {done} of {len(all_orders)} runs. "
    return "\n".join([*lines, "", unfinished + _spread(results)])


def _by_weights(results: Sequence[Result]) -> Iterator[str]:
    """A line for each network and depth, a column for each kind of weights: last (first) and learning rate."""
    kinds = list(dict.fromkeys(result.cell.weights for result in results))
    yield "| network | depth | parameters | " + " | ".join(kinds) + " |"
    yield "|---" * (3 + len(kinds)) + "|"
    for name, depth in dict.fromkeys((result.cell.network.name, result.cell.depth) for result in results):
        row = {
            each.cell.weights: each for each in results if (each.cell.network.name, each.cell.depth) == (name, depth)
        }
        size = next(iter(row.values())).cell.parameters
        yield f"| {name} | {depth} | {size:,} | " + " | ".join(_cell(row.get(kind)) for kind in kinds) + " |"
    yield ""
    yield from _decision(results)


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{fmean(result.last.values()):.4f} ({fmean(result.first.values()):.3f}) at {result.rate:g}"


def _decision(results: Sequence[Result]) -> Iterator[str]:
    """Means over the depths, which decide a basis' default."""
    yield "Means over the depths, last (first):"
    yield ""
    by_network: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        by_network.setdefault(result.cell.network.name, {}).setdefault(result.cell.weights, []).append(result)
    for name, kinds in by_network.items():
        means = {
            kind: (
                fmean(fmean(each.last.values()) for each in cell),
                fmean(fmean(each.first.values()) for each in cell),
            )
            for kind, cell in kinds.items()
        }
        best = max(means, key=lambda kind: means[kind][0])
        told = ", ".join(f"{kind} {last:.4f} ({first:.3f})" for kind, (last, first) in means.items())
        yield f"- {name}: {told}" + (f"; best: {best}" if len(means) > 1 else "")


def _by_network(results: Sequence[Result]) -> Iterator[str]:
    """A line for each network: mean over the seeds, the best that was known, and the difference to plain by seed."""
    plain = max((each for each in results if each.cell.network.plain), key=_mean, default=None)
    yield "| network | weights | parameters | lr | first epoch | last epoch | known before | minus plain, by seed |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in results:
        network = each.cell.network
        known = f"{network.known:.4f}" if network.known else ""
        yield (
            f"| {network.name} | {each.cell.weights} | {each.cell.parameters:,} | {each.rate:g} "
            f"| {fmean(each.first.values()):.3f} | {_mean(each):.4f} | {known} | {_paired(each, plain)} |"
        )


def _mean(result: Result) -> float:
    return fmean(result.last.values())


def _paired(result: Result, plain: Result | None) -> str:
    """Mean difference over the seeds that both have, in points, with its 95 % interval."""
    if plain is None or result is plain:
        return ""
    differences = np.array([100 * (result.last[seed] - plain.last[seed]) for seed in result.last.keys() & plain.last])
    if len(differences) < 2:
        return ""
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences))
    return f"{differences.mean():+.2f} ± {half:.2f}"


def _spread(results: Sequence[Result]) -> str:
    several = [np.array(list(each.last.values())) for each in results if len(each.last) > 1]
    if not several:
        return "One seed: no spread is known."
    freedom = sum(len(each) - 1 for each in several)
    pooled = math.sqrt(sum(each.var(ddof=1) * (len(each) - 1) for each in several) / freedom)
    seeds = sorted({len(each.last) for each in results})
    return (
        f"Seeds: {' or '.join(map(str, seeds))}. Spread of a seed after the last epoch, pooled over {len(several)} "
        f"cells, {freedom} degrees of freedom: {100 * pooled:.2f} points."
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--design", default="factorial", choices=DESIGNS)
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="only these rows, as the table names them")
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, help="kinds of first weights; the design's otherwise")
    parser.add_argument("--seeds", type=int, help="the design's otherwise")
    parser.add_argument("--dataset", default="fashion_mnist", choices=["fashion_mnist", "mnist", "digits"])
    given, left_out = parser.parse_args(words), list[str]()
    all_cells = cells(given, left_out)
    for reason in dict.fromkeys(left_out):
        print(reason)
    all_orders = orders(given, all_cells)
    experiment(given, lambda records: all_orders, partial(table, given, all_cells))


if __name__ == "__main__":
    main()
