"""Recordings with curves that follow a known rule, so that what is made of them can be checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kansearch.bench.counting import BLOCKS
from kansearch.bench.encoding import Encoder
from kansearch.space import SearchSpace, find_space, load_space
from tests.benchmarks.draws import Sequence, order

__all__ = ["LARGEST", "NOISE", "SPACE", "error_at", "write_lines"]

SPACE = "fashion_mnist_front"
LARGEST = 200_000
"""Parameters; recorded are larger networks too."""
NOISE = 0.03
"""Standard deviation between seeds, of the logarithm of the error, the same for all epochs of a run."""


def error_at(hyperparameters: Mapping[str, Any], parameters: int, epoch: int) -> float:
    """Smaller for larger networks, for batches' normalisation and the best learning rate, and later."""
    name = hyperparameters["optimizer"]
    away = math.log10(hyperparameters[f"optimizer.{name}.lr"] / {"adamw": 5e-3, "lion": 5e-4}[name])
    worse = 0.3 * (hyperparameters["model.normalization"] == "none") + 0.5 * away**2
    return min(0.9, 0.9 * parameters**-0.2 * math.exp(worse) * (1 + 1.5 / epoch))


def write_lines(
    path: Path, configurations: int, repeated: int, epochs: int = 4, *, first: int = 0, **head: Any
) -> list[dict[str, Any]]:
    """What a recorder writes, from the `first` run on; the rows."""
    space = load_space(find_space(SPACE), [f"epochs={epochs}", f"constraints.parameters={LARGEST}"])
    rows = _rows(space, configurations, repeated, epochs)[first:]
    about = {
        "space": space.source, "overrides": list(space.overrides), "sequence_seed": 0, "least_parameters": 500,
        "blocks": BLOCKS, "workers": 1, "mps": False, "hardware": "none", "cpus": 1, "versions": {},
        "started": "2026-01-01", **head,
    }  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in (about, *rows)))
    return rows


def _rows(space: SearchSpace, configurations: int, repeated: int, epochs: int) -> list[dict[str, Any]]:
    sequence, encoder, rng = Sequence(space, 0), Encoder(space), np.random.default_rng(0)
    rows = []
    for number, seed in order(configurations, repeated, 3):
        draw = sequence.at(number)
        config = draw.config.model_dump(mode="json") | {"seed": seed}
        sizes = encoder.sizes(config)
        noise = math.exp(NOISE * rng.standard_normal())
        errors = [error_at(draw.hyperparameters, sizes.parameters, epoch + 1) * noise for epoch in range(epochs)]
        curve = {
            "accuracy": [1 - each for each in errors],
            "validation_loss": [3 * each for each in errors],
            "train_loss": [2 * each for each in errors],
            "seconds": [sizes.flops**0.3 / 50] * epochs,
            "images_per_second": [1000.0] * epochs,
            "learning_rate": [1e-3] * epochs,
        }
        own = {"index": number, "number": number, "seed": seed, "hyperparameters": draw.hyperparameters}
        done = {"state": "complete", "reason": None, "curve": curve, "peak_memory_mib": 10.0, "wall_seconds": 1.0}
        rows.append({**own, "config": config, **done, "parameters": sizes.parameters, "flops": sizes.flops})
    return rows
