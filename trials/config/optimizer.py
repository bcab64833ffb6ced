"""How weights are updated, and what is added to the loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trials.config.base import Config

__all__ = [
    "AdamWConfig",
    "AdamWThenLBFGSConfig",
    "LBFGSConfig",
    "LionConfig",
    "OptimizerConfig",
    "RegularizationConfig",
]


class RegularizationConfig(Config):
    """Penalties added to the loss."""

    l1_weight: float = Field(
        default=0.0, ge=0, le=1, description="times the sum of |w| over every weight of a convolution or linear layer"
    )
    edge_entropy: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="times the entropy of each layer's edge norms, Σ|w| of an edge over that of the layer, summed over "
        "the layers; beside l1_weight it leaves few edges",
    )
    l1_activation: float = Field(
        default=0.0, ge=0, le=1, description="times the mean |output|, summed over the convolutions and linear layers"
    )
    l2_activation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="times the mean squared output, summed over the convolutions and linear layers",
    )
    load_balance: float = Field(
        default=0.01, ge=0, le=1, description="times the load-balance loss of each mixture of experts (1 when balanced)"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the cross-entropy loss")
    dice: float = Field(
        default=0.0, ge=0, le=10, description="segmentation: times the soft Dice loss, which all classes share alike"
    )
    side_weight: float = Field(
        default=1.0, ge=0, le=10, description="segmentation: times the loss of each output under deep supervision"
    )


_BASIS_LR = Field(
    default=1.0, gt=0, le=100, description="times lr for the basis branch of KAN layers: its weights and parameters"
)
_BASIS_WEIGHT_DECAY = Field(
    default=1.0, ge=0, le=100, description="times weight_decay for the weights of the basis branch"
)


class AdamWConfig(Config):
    """AdamW (arXiv 1711.05101)."""

    name: Literal["adamw"]
    lr: float = Field(default=1e-3, gt=0, le=10, description="learning rate")
    weight_decay: float = Field(default=1e-2, ge=0, le=10, description="decoupled weight decay")
    basis_lr: float = _BASIS_LR
    basis_weight_decay: float = _BASIS_WEIGHT_DECAY


class LionConfig(Config):
    """Lion (arXiv 2302.06675)."""

    name: Literal["lion"]
    lr: float = Field(default=1e-4, gt=0, le=10, description="learning rate; 3 to 10 times smaller than AdamW's")
    weight_decay: float = Field(
        default=0.0, ge=0, le=10, description="decoupled weight decay; independent of lr's default"
    )
    basis_lr: float = _BASIS_LR
    basis_weight_decay: float = _BASIS_WEIGHT_DECAY


class LBFGSConfig(Config):
    """Limited-memory BFGS with a strong-Wolfe line search, on each batch.

    It has one step length for all weights, and so no multiples for those of the basis branch.
    """

    name: Literal["lbfgs"]
    lr: float = Field(default=1.0, gt=0, le=10, description="first step length of each line search")
    history_size: int = Field(default=10, ge=1, le=1000, description="curvature pairs kept")
    max_iter: int = Field(default=4, ge=1, le=100, description="iterations on each batch")


class AdamWThenLBFGSConfig(Config):
    """AdamW, and after a share of the epochs L-BFGS, with first step length 1: for full batches of rows."""

    name: Literal["adamw_lbfgs"]
    lr: float = Field(default=1e-2, gt=0, le=10, description="learning rate of AdamW; its schedule ends at the switch")
    weight_decay: float = Field(default=0.0, ge=0, le=10, description="decoupled weight decay of AdamW alone")
    switch: float = Field(default=0.5, gt=0, lt=1, description="share of the epochs that are AdamW's, at least one")
    history_size: int = Field(default=20, ge=1, le=1000, description="curvature pairs kept by L-BFGS")
    max_iter: int = Field(default=20, ge=1, le=100, description="iterations of L-BFGS on each batch")


OptimizerConfig = Annotated[AdamWConfig | LionConfig | LBFGSConfig | AdamWThenLBFGSConfig, Field(discriminator="name")]
