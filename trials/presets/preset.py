"""The definition of a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from trials.config import ModelConfig
from trials.config.basis import in_published_form

__all__ = ["Preset"]

_MODEL: TypeAdapter[Any] = TypeAdapter(ModelConfig)


@dataclass(frozen=True)
class Preset:
    """A published network as a model configuration, with what was published of it."""

    name: str
    model: Mapping[str, Any]
    """Fields of the model's configuration; what is left out has its default."""
    dataset: str
    """The data set it was published on, by its name here."""
    shape: tuple[int, int, int, int]
    """Channels, height, width and classes of that data set: what the parameters are counted for."""
    source: str
    """Where it was published."""
    published: Mapping[str, float] = field(default_factory=dict)
    """Published figures: `parameters`; `accuracy`, on the test split, in [0, 1]."""
    explanation: str = ""
    """Why our parameters, or what is computed, differ from what was published; empty where they do not."""
    pixels: str = "standard"
    """`data.pixels` of a retraining: what the network was published with."""
    epochs: int = 20
    """Passes over the training images that a retraining takes unless it is told."""

    @cached_property
    def config(self) -> Any:
        """The model's configuration, complete: bases in their published form, and half of each layer's first variance
        for the basis branch, unless `model` says otherwise."""
        model: dict[str, Any] = {"basis_share": 0.5, **self.model}
        for name in {"basis", "classifier_basis", "output_basis"} & model.keys():
            model[name] = in_published_form(model[name])
        return _MODEL.validate_python(model)

    def document(self) -> dict[str, Any]:
        """The complete configuration as plain values."""
        return dict(self.config.model_dump(mode="json"))
