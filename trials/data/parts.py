"""Which samples of a training split are trained on, and which are held out. Loads no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.config import DataConfig
from trials.data.stratified import train_test_split

__all__ = ["part_indices"]

_Indices = NDArray[np.int64]


def part_indices(labels: NDArray[Any], config: DataConfig, hold_out: bool) -> tuple[_Indices, _Indices | None]:
    """The part that is trained on, and the held-out part, sorted; without `hold_out` all, and None.

    labels: (N,), classes, of which both parts get their shares; masks and numbers are split at random. Raises
    ValueError where a part would lack a class.
    """
    chosen, classes = np.arange(len(labels)), labels.ndim == 1
    try:
        if config.limit is not None and config.limit < len(labels):
            chosen, _ = train_test_split(
                chosen, train_size=config.limit, random_state=config.split_seed, stratify=labels if classes else None
            )
        if not hold_out:
            return np.sort(chosen), None
        train, held_out = train_test_split(
            chosen,
            test_size=config.validation,
            random_state=config.split_seed,
            stratify=labels[chosen] if classes else None,
        )
    except ValueError as error:
        raise ValueError(
            f"data.validation={config.validation}, data.limit={config.limit}: {len(chosen)} images cannot be split "
            f"by class: {error}"
        ) from error
    return np.sort(train), np.sort(held_out)
