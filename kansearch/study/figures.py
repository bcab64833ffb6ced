"""How figures, times and configurations are written, the same in tables, messages and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kansearch.errors import UnreadableConfigError
from kansearch.study.stored_config import StoredConfig
from trials.config import TrialConfig
from trials.metrics import METRICS

__all__ = ["describe", "duration", "number", "values"]


def number(name: str, value: float) -> str:
    """An objective's or metric's value: `0.9861`, `17,882`; of a regression `1.234e-05`, as it may be of any size."""
    metric = METRICS.get(name.removeprefix("test_"))
    if metric is not None and metric.regression and not metric.share:
        return f"{value:.4g}"
    return f"{value:,.0f}" if metric is not None and metric.exact else f"{value:.4f}"


def values(measured: Mapping[str, float]) -> str:
    """`accuracy 0.9861, parameters 17,882`."""
    return ", ".join(f"{name.replace('_', ' ')} {number(name, value)}" for name, value in measured.items())


def duration(seconds: float) -> str:
    """`3.2s`, `4m05s`, `2h07m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def describe(config: TrialConfig | StoredConfig) -> str:
    """A configuration in a few words: family unless it is plain, basis with its sizes, depth and width, optimizer.

    `2x8*2`: with two product nodes in each of two layers.
    """
    if isinstance(config, StoredConfig):
        if not config.document:
            return ""
        try:
            config = config.config
        except UnreadableConfigError:
            return "(of another version of kansearch)"
    model = config.model.model_dump(mode="json")
    family = "" if model["family"] == "plain" else f"{model['family']} "
    shape = "x".join(str(model[size]) for size in ("depth", "width") if size in model)
    shape = "-".join(map(str, model["widths"])) if model.get("widths") else shape
    shape += f"*{model['multiply']}" if model.get("multiply") else ""
    shape += f"-{model['width'] * model['growth']}" if model["family"] == "kanc" else ""
    bottleneck = f" /{model['bottleneck']}" if model["bottleneck"] else ""
    return f"{family}{_bases(model)} {shape}{bottleneck} {config.optimizer.name}"


def _bases(model: Mapping[str, Any]) -> str:
    """Name the basis of the convolutions, and after a plus that of a KAN classifier that may have another.

    Example: `plain+fourier(7)`.
    """
    convolutions = "plain" if model.get("convolution") == "plain" else _basis(model["basis"])
    if model.get("classifier") != "kan" or "classifier_basis" not in model:
        return convolutions
    return f"{convolutions}+{_basis(model['classifier_basis'] or model['basis'])}"


def _basis(basis: Mapping[str, Any]) -> str:
    sizes = [
        str(value)
        for key, value in basis.items()
        if key != "name" and isinstance(value, (int, str)) and not isinstance(value, bool) and value != "gauss"
    ]
    sizes += ["learnable"] if basis.get("learnable") else []
    return "plain" if basis["name"] == "none" else f"{basis['name']}({','.join(sizes)})"
