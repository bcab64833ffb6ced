"""Writes the folder of a trained model without training one: random weights, and the manifest of real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trials.config import TrialConfig
from trials.models import build_network
from trials.saved.trained import describe_model
from trials.saved.weights import save_weights


def model_config(data: dict[str, Any] | None = None, **model: Any) -> TrialConfig:
    """A tiny network, on the digits unless `data` says other ones."""
    data = {"dataset": "digits", "limit": 100, **(data or {})}
    if data["dataset"] != "digits":
        del data["limit"]
    return TrialConfig.model_validate({"data": data, "model": {"depth": 1, "width": 2, **model}, "epochs": 1})


def write_model(folder: Path, config: TrialConfig) -> Path:
    """The folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_weights(build_network(config), folder / "model.safetensors")
    describe_model(config, folder)
    return folder
