"""Do we get what is published? The eighteen networks of Convolutional-KANs on Fashion-MNIST (arXiv 2406.13155).

`python -m tests.benchmarks.parity RECORDS --minutes 8`, again until all runs are there. docs/published.md: the table.

Protocol, written before the first run:

1. A network is its preset: the published one, with exactly its parameters.
2. Pixels in [-1, 1], as published; with `--pixels standard` once more in ours (mean 0, standard deviation 1).
3. AdamW with a weight decay of 1e-5, batches of 64, a constant learning rate, float32, 20 epochs. The learning rate is
   that of {1e-4, 5e-4, 1e-3} with the best validation accuracy after the last epoch: one seed, a tenth of the training
   images held out.
4. With that rate five other seeds train on all training images. What counts is a seed's test accuracy after the last
   epoch.

Criterion, written before the first run. A network is reproduced where the published value lies in

    mean ± t · s · sqrt(1 + 1/5)

where s is the seeds' spread pooled over the networks and t the 97.5 % quantile of Student's t with 4 degrees of freedom
for each network: the 95 % prediction interval of one more run, as the published value is one. All are reproduced
together where the mean difference over the eighteen is at most 0.3 points either way. Of eighteen such intervals one
misses by chance.

The published code keeps the epoch that is best on the test split. The column "best epoch" says what that adds here; it
decides nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from tests.benchmarks.experiment import Records, add_arguments, experiment
from tests.benchmarks.side_by_side import Order
from trials.presets import PRESETS

__all__ = ["NETWORKS", "orders", "table"]

NETWORKS = tuple(name for name, preset in PRESETS.items() if preset.config.family == "kanc" and preset.published)
RATES = (1e-4, 5e-4, 1e-3)
SELECTION_SEED, SEEDS = 0, (1, 2, 3, 4, 5)
EPOCHS, ALLOWED = 20, 0.3


def orders(given: argparse.Namespace, records: Records) -> list[Order]:
    """All runs that can be named: a network's seeds follow once its learning rate is chosen."""
    chosen = {name: chosen_rate(given, records, name) for name in given.networks}
    seeds = [(name, rate, seed) for name, rate in chosen.items() if rate is not None for seed in SEEDS]
    rates = [(name, rate, SELECTION_SEED) for name in given.networks for rate in RATES]
    return [_order(given, *each, test=True) for each in seeds] + [_order(given, *each, test=False) for each in rates]


def chosen_rate(given: argparse.Namespace, records: Records, network: str) -> float | None:
    """The learning rate with the best validation accuracy; None where not all have been tried."""
    rows = records.having(**_labels(given, network), test=False)
    found = {row["labels"]["lr"]: row["curve"]["accuracy"][-1] for row in rows}
    return max(RATES, key=lambda rate: found[rate]) if found.keys() == set(RATES) else None


def _labels(given: argparse.Namespace, network: str) -> dict[str, Any]:
    """What tells a run from those of another network or another protocol."""
    own = {"pixels": given.pixels, "batch_size": given.batch_size, "schedule": given.schedule}
    return {"network": network, **own, "epochs": given.epochs or EPOCHS, "limit": given.limit}


def _order(given: argparse.Namespace, network: str, rate: float, seed: int, *, test: bool) -> Order:
    labels = {**_labels(given, network), "lr": rate, "seed": seed, "test": test}
    config = {
        "data": {"dataset": given.dataset, "limit": given.limit} | {k: labels[k] for k in ("pixels", "batch_size")},
        "model": _DOCUMENTS[network],
        "optimizer": {"name": "adamw", "lr": rate, "weight_decay": 1e-5},
        "schedule": given.schedule,
        "epochs": labels["epochs"],
        "precision": "float32",
        "seed": seed,
    }
    return Order(labels, config, test)


_DOCUMENTS: Mapping[str, Any] = {name: PRESETS[name].document() for name in NETWORKS}


# -- the table -------------------------------------------------------------------------------------------------------


def table(given: argparse.Namespace, records: Records) -> str:
    """The networks of which all seeds are there, in Markdown, and the verdict; accuracies in percent."""
    done = {name: rows for name in given.networks if len(rows := _tested(given, records, name)) == len(SEEDS)}
    if not done:
        return f"no network has its {len(SEEDS)} seeds yet"
    tested = {name: np.array([100 * row["test_accuracy"][-1] for row in rows]) for name, rows in done.items()}
    freedom = len(done) * (len(SEEDS) - 1)
    spread = math.sqrt(fmean(each.var(ddof=1) for each in tested.values()))
    half = float(stats.t.ppf(0.975, freedom)) * spread * math.sqrt(1 + 1 / len(SEEDS))
    published = {name: 100 * PRESETS[name].published["accuracy"] for name in done}
    differences = {name: float(tested[name].mean()) - published[name] for name in done}
    inside = [name for name, difference in differences.items() if abs(difference) <= half]
    lines = [
        "| network | parameters | published | ours, mean of 5 seeds | difference | in the interval | lr | best epoch |",
        "|---|---|---|---|---|---|---|---|",
        *_lines(done, tested, published, inside),
        "",
        f"Spread of a seed, pooled over {len(done)} networks, {freedom} degrees of freedom: {spread:.3f} points. "
        f"Prediction interval: mean ± {half:.2f} points. {len(inside)} of {len(done)} published values lie in theirs.",
        *_verdict(fmean(differences.values()), len(done), len(NETWORKS)),
    ]
    return "\n".join(lines)


def _tested(given: argparse.Namespace, records: Records, network: str) -> list[dict[str, Any]]:
    rate = chosen_rate(given, records, network)
    return [] if rate is None else records.having(**_labels(given, network), lr=rate, test=True)


def _lines(
    done: Mapping[str, list[dict[str, Any]]],
    tested: Mapping[str, np.ndarray[Any, Any]],
    published: Mapping[str, float],
    inside: list[str],
) -> Iterator[str]:
    for name, rows in done.items():
        mean, rate = float(tested[name].mean()), rows[0]["labels"]["lr"]
        best = 100 * fmean(max(row["test_accuracy"]) for row in rows)
        yield (
            f"| {name} | {rows[0]['parameters']:,} | {published[name]:.2f} | {mean:.2f} "
            f"| {mean - published[name]:+.2f} | {'yes' if name in inside else 'no'} | {rate:g} | {best:.2f} |"
        )


def _verdict(difference: float, networks: int, all_networks: int) -> Iterator[str]:
    yield f"Mean difference over {networks} networks: {difference:+.2f} points."
    if networks == all_networks:
        yield f"That is {'within' if abs(difference) <= ALLOWED else 'more than'} {ALLOWED} points."
    else:
        yield f"The criterion is one of all {all_networks}: not decided yet."


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--pixels", default="symmetric", choices=["symmetric", "unit", "standard"])
    parser.add_argument(
        "--networks", nargs="+", default=NETWORKS, choices=NETWORKS, metavar="PRESET", help="only these"
    )
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--schedule", default="constant", choices=["constant", "cosine"])
    parser.add_argument("--dataset", default="fashion_mnist", choices=["fashion_mnist", "mnist", "digits"])
    given = parser.parse_args(words)
    experiment(given, partial(orders, given), partial(table, given))


if __name__ == "__main__":
    main()
