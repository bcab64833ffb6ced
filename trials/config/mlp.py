"""The family `mlp`: networks of layers between vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from trials.config.layer import LayerConfig

__all__ = ["MLPConfig"]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], BeforeValidator(_tuple)]


class MLPConfig(LayerConfig):
    """KAN layers, or linear ones with an activation, between vectors: for tables, functions and flattened images."""

    family: Literal["mlp"] = Field(description="model family")
    depth: int = Field(default=2, ge=0, le=64, description="hidden layers; 0: inputs and outputs alone")
    width: int = Field(default=8, ge=1, le=65536, description="nodes of each hidden layer")
    widths: _Widths = Field(
        default=(), description="nodes of each hidden layer, such as [8, 4], in the place of depth and width"
    )
    multiply: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="nodes of each hidden layer that are products of two sums, as MultKAN has (arXiv 2408.10205); at "
        "most its width",
    )
    normalization: Literal["batch", "instance", "layer", "group", "none"] = Field(
        default="none", description="normalisation of the input of each layer but the first"
    )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Nodes of each hidden layer."""
        return self.widths or (self.width,) * self.depth

    @model_validator(mode="after")
    def _no_convolutions(self) -> Self:
        for name in ("bottleneck", "experts"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: is for convolutions, and the family mlp has none; remove it")
        return self
