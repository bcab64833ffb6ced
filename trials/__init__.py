"""One trial of a search: everything that runs in a worker. Knows nothing of kansearch, Ray, Optuna or MLflow.

from trials import load_model

model, config = load_model("model/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trials.saved.trained import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """`load_model`, imported when it is asked for: it needs torch, and `trials.config` must not."""
    if name == "load_model":
        from trials.saved.trained import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
