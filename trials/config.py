"""What a trial is made of: `TrialConfig`, complete and frozen, and the names it may use. Loads no torch.

A sampler proposes one, a worker trains it, MLflow logs it, `kansearch export` writes it and `kansearch retrain` reads
it:

    TrialConfig.model_validate({
        "data": {"dataset": "digits"},
        "model": {"depth": 3, "width": 16, "basis": {"name": "bspline", "grid_size": 5}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "epochs": 10,
    })

The fields below are also the grammar of a search-space file: their names, types, ranges and descriptions are what
`kansearch validate` checks and `kansearch schema` prints.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["BasisConfig", "DataConfig", "ModelConfig", "OptimizerConfig", "RegularizationConfig", "TrialConfig"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the output keeps the input's size")
    return value


class DataConfig(_Config):
    """Which images, how they are split, batched and augmented."""

    dataset: Literal["digits", "mnist", "fashion_mnist", "kmnist"] = Field(description="data set by name")
    validation: float = Field(
        default=0.1, gt=0, lt=1, description="share of the training split held out to measure a trial; stratified"
    )
    split_seed: int = Field(
        default=0, ge=0, description="seed of the train/validation split; one value for a whole study"
    )
    limit: int | None = Field(
        default=None, ge=20, description="use this many images of the training split, drawn by split_seed; null: all"
    )
    batch_size: int = Field(default=128, ge=1, le=65536, description="images a step")
    augment: Literal["none", "crop_flip"] = Field(
        default="none", description="crop_flip: random shift by up to 1/8 of the side, and horizontal flip"
    )


class BSplineConfig(_Config):
    """B-splines on a uniform extended grid: grid_size + spline_order features (arXiv 2404.19756)."""

    name: Literal["bspline"]
    grid_size: int = Field(default=5, ge=1, le=100, description="intervals of the grid")
    spline_order: int = Field(default=3, ge=0, le=5, description="polynomial order of each piece")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="the grid covers [-grid_range, grid_range]")


class RBFConfig(_Config):
    """Gaussian bumps on a uniform grid: grid_size features (arXiv 2405.06721)."""

    name: Literal["rbf"]
    grid_size: int = Field(default=8, ge=2, le=100, description="number of centres")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="centres lie on [-grid_range, grid_range]")


class FourierConfig(_Config):
    """Cosines and sines of erf(z/√2), frequencies 1 to grid_size half turns: 2 grid_size features."""

    name: Literal["fourier"]
    grid_size: int = Field(default=4, ge=1, le=64, description="highest frequency, in half turns over the domain")


class ChebyshevConfig(_Config):
    """Chebyshev polynomials of the first kind of tanh z."""

    name: Literal["chebyshev"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")


class LegendreConfig(_Config):
    """Legendre polynomials of tanh z."""

    name: Literal["legendre"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")


class JacobiConfig(_Config):
    """Jacobi polynomials of tanh z, orthogonal with weight (1-u)^a (1+u)^b."""

    name: Literal["jacobi"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    a: float = Field(default=1.0, gt=-1, le=10, description="exponent of 1-u in the weight; a = b = 0: Legendre")
    b: float = Field(default=1.0, gt=-1, le=10, description="exponent of 1+u in the weight")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")


class BernsteinConfig(_Config):
    """Bernstein polynomials of (tanh z + 1)/2: degree + 1 features that sum to 1 (arXiv 2407.01092)."""

    name: Literal["bernstein"]
    degree: int = Field(default=3, ge=1, le=32, description="degree of every one of them")


class WaveletConfig(_Config):
    """One wavelet at learnable scales and translations that every channel of a layer shares."""

    name: Literal["wavelet"]
    kind: Literal["mexican_hat", "morlet", "dog", "meyer", "shannon"] = Field(
        default="mexican_hat", description="the wavelet; dog is the derivative of a Gaussian"
    )
    count: int = Field(default=4, ge=1, le=32, description="number of (scale, translation) pairs, and of features")


class ReLUConfig(_Config):
    """Squared products of two ReLUs with learnable ends: grid_size + spline_order bumps (ReLU-KAN)."""

    name: Literal["relu"]
    grid_size: int = Field(default=5, ge=1, le=100, description="intervals of the grid the bumps start on")
    spline_order: int = Field(default=3, ge=0, le=10, description="a bump starts spline_order + 1 intervals wide")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="the grid covers [-grid_range, grid_range]")


class GramConfig(_Config):
    """Gram (discrete Chebyshev) polynomials, orthogonal on evenly spaced nodes of [-1, 1]."""

    name: Literal["gram"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")


class PlainConfig(_Config):
    """No basis: a plain convolution or linear layer, the control every KAN is measured against."""

    name: Literal["none"]


BasisConfig = Annotated[
    BSplineConfig
    | RBFConfig
    | FourierConfig
    | ChebyshevConfig
    | LegendreConfig
    | GramConfig
    | JacobiConfig
    | BernsteinConfig
    | WaveletConfig
    | ReLUConfig
    | PlainConfig,
    Field(discriminator="name"),
]


class ModelConfig(_Config):
    """The network. `plain`: `depth` convolution blocks, then a head."""

    family: Literal["plain"] = Field(default="plain", description="model family")
    depth: int = Field(default=3, ge=1, le=64, description="convolution layers")
    width: int = Field(default=16, ge=1, le=4096, description="channels of the first layer")
    growth: int = Field(default=2, ge=1, le=4, description="channels are multiplied by this where the image is halved")
    halvings: int = Field(
        default=2, ge=0, le=6, description="times the image's sides are halved, spread over the depth"
    )
    downsampling: Literal["max_pool", "avg_pool", "stride"] = Field(
        default="max_pool", description="how the image is halved: pooling after a layer, or its stride"
    )
    kernel_size: Annotated[int, AfterValidator(_odd)] = Field(
        default=3, ge=1, le=15, description="side of each kernel; odd"
    )
    basis: BasisConfig = Field(default=BSplineConfig(name="bspline"), description="family of univariate functions")
    base_branch: bool = Field(
        default=True, description="add the base branch w·b(z) to the basis branch of each KAN layer"
    )
    base_activation: Literal["silu", "relu", "gelu", "identity"] = Field(
        default="silu", description="b of the base branch; the activation of a plain network"
    )
    normalization: Literal["batch", "instance", "layer", "group", "none"] = Field(
        default="batch", description="normalisation of each layer's input; group: in up to 8 groups of channels"
    )
    affine: bool | None = Field(
        default=None,
        description="learnable scale and shift in the normalisation; null: only in a plain network, "
        "because a KAN layer learns them itself",
    )
    bottleneck: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="divide the width that the basis works on by this, between two 1x1 "
        "projections; null: no bottleneck. The first layer never has one",
    )
    experts: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="make each layer but the first a mixture of this many KAN convolutions; null: one. No effect on a "
        "plain network",
    )
    experts_per_image: int = Field(
        default=2, ge=1, le=64, description="experts that each image is given, at most all of them"
    )
    init: Literal["variance", "power_law"] = Field(
        default="variance", description="first weights: variance-preserving, or the power law of arXiv 2509.03417"
    )
    basis_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of a layer's first output variance that is the basis branch's"
    )
    spline_scaler: bool = Field(
        default=False, description="one more weight for each edge, times its basis branch, as Efficient-KAN has"
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="probability of dropping a channel in each layer but the first"
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="standard deviation of the random factor, mean 1, on each channel in training",
    )
    perturbation: Literal["full", "poly", "degree"] = Field(
        default="full",
        description="what dropout and noise act on: a layer's input, its basis branch's input, or each basis feature; "
        "always full in a plain network",
    )
    head: Literal["pool", "flatten"] = Field(
        default="pool", description="pool: global average before the classifier; flatten: every pixel of the last layer"
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )


class RegularizationConfig(_Config):
    """Penalties added to the loss."""

    l1_weight: float = Field(default=0.0, ge=0, le=1, description="times the sum of |w| over every basis weight")
    l1_activation: float = Field(
        default=0.0, ge=0, le=1, description="times the mean |output|, summed over the KAN layers"
    )
    l2_activation: float = Field(
        default=0.0, ge=0, le=1, description="times the mean squared output, summed over the KAN layers"
    )
    load_balance: float = Field(
        default=0.01, ge=0, le=1, description="times the load-balance loss of each mixture of experts (1 when balanced)"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the cross-entropy loss")


class AdamWConfig(_Config):
    """AdamW (arXiv 1711.05101)."""

    name: Literal["adamw"]
    lr: float = Field(default=1e-3, gt=0, le=10, description="learning rate")
    weight_decay: float = Field(default=1e-2, ge=0, le=10, description="decoupled weight decay")


class LionConfig(_Config):
    """Lion (arXiv 2302.06675)."""

    name: Literal["lion"]
    lr: float = Field(default=1e-4, gt=0, le=10, description="learning rate; 3 to 10 times smaller than AdamW's")
    weight_decay: float = Field(
        default=0.0, ge=0, le=10, description="decoupled weight decay; independent of lr's default"
    )


class LBFGSConfig(_Config):
    """Limited-memory BFGS with a strong-Wolfe line search, on each batch."""

    name: Literal["lbfgs"]
    lr: float = Field(default=1.0, gt=0, le=10, description="first step length of each line search")
    history_size: int = Field(default=10, ge=1, le=1000, description="curvature pairs kept")
    max_iter: int = Field(default=4, ge=1, le=100, description="iterations on each batch")


OptimizerConfig = Annotated[AdamWConfig | LionConfig | LBFGSConfig, Field(discriminator="name")]


class TrialConfig(_Config):
    """Everything that decides a trial's numbers, but for the device it runs on."""

    data: DataConfig = Field(description="images, split, batches, augmentation")
    model: ModelConfig = Field(default=ModelConfig(), description="the network")
    regularization: RegularizationConfig = Field(default=RegularizationConfig(), description="penalties in the loss")
    optimizer: OptimizerConfig = Field(default=AdamWConfig(name="adamw"), description="how weights are updated")
    schedule: Literal["constant", "cosine", "one_cycle"] = Field(
        default="cosine", description="learning rate over the steps; cosine and one_cycle end near zero"
    )
    epochs: int = Field(default=10, ge=1, le=100000, description="passes over the training images")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of convolutions and products; bfloat16: mixed, weights stay float32; auto: bfloat16 on CUDA",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of weights, batch order, augmentation and dropout")
