"""One trial of a search: everything that runs in a worker. Knows nothing of kansearch, Ray, Optuna or MLflow.

    from trials import load_model

    model, config = load_model("model/")

config/  data/  models/  kan/  presets/   a configuration, its samples and its network
training/   from a configuration to an `EpochResult` an epoch
saved/      from a trained model's folder to its answers
measure/    sizes, memory and time of a configuration; the quality of answers

The driver imports torch code through `trials.training` and `trials.saved` alone. Neither imports torch before it must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trials.lazy import lazily

__all__ = ["load_model"]

if TYPE_CHECKING:
    from trials.saved.trained import load_model
else:
    __getattr__ = lazily(__name__, {"trials.saved.trained": "load_model"})
