"""The bases by name, each with its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from trials.config.base import Config

__all__ = [
    "ACTIVATIONS_BEFORE_PLAIN_LAYERS",
    "CONTROLS",
    "BasisConfig",
    "expands",
    "in_published_form",
    "is_control",
    "kind_of",
]

_UNIT_VARIANCE = "divide each polynomial by its standard deviation for normal inputs; false: the published polynomials"


class BSplineConfig(Config):
    """B-splines on a uniform extended grid: grid_size + spline_order features (arXiv 2404.19756)."""

    name: Literal["bspline"]
    grid_size: int = Field(default=5, ge=1, le=100, description="intervals of the grid")
    spline_order: int = Field(default=3, ge=0, le=5, description="polynomial order of each piece")
    grid_range: float = Field(
        default=2.0, gt=0, le=100, description="the grid reaches this far to both sides of grid_centre"
    )
    grid_centre: float = Field(default=0.0, ge=-100, le=100, description="middle of the grid")


class RBFConfig(Config):
    """Bumps on a uniform grid: grid_size features (FastKAN, arXiv 2405.06721)."""

    name: Literal["rbf"]
    grid_size: int = Field(default=8, ge=2, le=100, description="number of centres")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="centres lie on [-grid_range, grid_range]")
    kernel: Literal["gauss", "tanh2", "sech"] = Field(
        default="gauss", description="the bump: exp(-t²), 1 - tanh² t (FasterKAN) or 1/cosh t"
    )
    learnable: bool = Field(
        default=False, description="learn the centres and widths, which every channel of a layer shares"
    )


class FourierConfig(Config):
    """Cosines and sines of erf(z/√2), frequencies 1 to grid_size half turns: 2 grid_size features."""

    name: Literal["fourier"]
    grid_size: int = Field(default=4, ge=1, le=64, description="highest frequency, in half turns over the domain")
    raw: bool = Field(default=False, description="cos(kz) and sin(kz) of the input itself, whatever its range")


class ChebyshevConfig(Config):
    """Chebyshev polynomials of the first kind of tanh z."""

    name: Literal["chebyshev"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")
    unit_variance: bool = Field(default=True, description=_UNIT_VARIANCE)


class LegendreConfig(Config):
    """Legendre polynomials of tanh z."""

    name: Literal["legendre"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")
    unit_variance: bool = Field(default=True, description=_UNIT_VARIANCE)


class JacobiConfig(Config):
    """Jacobi polynomials of tanh z, orthogonal with weight (1-u)^a (1+u)^b."""

    name: Literal["jacobi"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    a: float = Field(default=1.0, gt=-1, le=10, description="exponent of 1-u in the weight; a = b = 0: Legendre")
    b: float = Field(default=1.0, gt=-1, le=10, description="exponent of 1+u in the weight")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")
    unit_variance: bool = Field(default=True, description=_UNIT_VARIANCE)


class BernsteinConfig(Config):
    """Bernstein polynomials of (tanh z + 1)/2 but the first: degree features (arXiv 2407.01092)."""

    name: Literal["bernstein"]
    degree: int = Field(default=3, ge=1, le=32, description="degree of every one of them")
    constant: bool = Field(
        default=False, description="keep the first one too: all degree + 1 sum to 1, which repeats the bias"
    )
    unit_variance: bool = Field(default=True, description=_UNIT_VARIANCE)


class WaveletConfig(Config):
    """One wavelet at learnable scales and translations that every channel of a layer shares."""

    name: Literal["wavelet"]
    kind: Literal["mexican_hat", "morlet", "dog", "meyer", "shannon"] = Field(
        default="mexican_hat", description="the wavelet; dog is the derivative of a Gaussian"
    )
    count: int = Field(default=4, ge=1, le=32, description="number of (scale, translation) pairs, and of features")


class ReLUConfig(Config):
    """Squared products of two ReLUs with learnable middles and widths: grid_size + spline_order bumps (ReLU-KAN)."""

    name: Literal["relu"]
    grid_size: int = Field(default=5, ge=1, le=100, description="intervals of the grid the bumps start on")
    spline_order: int = Field(default=3, ge=0, le=10, description="a bump starts spline_order + 1 intervals wide")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="the grid covers [-grid_range, grid_range]")


class GramConfig(Config):
    """Gram (discrete Chebyshev) polynomials, orthogonal on evenly spaced nodes of [-1, 1]."""

    name: Literal["gram"]
    degree: int = Field(default=3, ge=1, le=16, description="highest degree")
    constant: bool = Field(default=False, description="keep the constant polynomial as a feature (it repeats the bias)")
    unit_variance: bool = Field(default=True, description=_UNIT_VARIANCE)


class SineConfig(Config):
    """Sines of learnable frequencies, shared by every channel of a layer: grid_size features (SineKAN)."""

    name: Literal["sine"]
    grid_size: int = Field(default=8, ge=1, le=64, description="number of sines; frequencies start at k/(grid_size+1)")


class RationalConfig(Config):
    """A learnable rational activation for each group of channels, before a plain layer (GR-KAN, arXiv 2409.10594)."""

    name: Literal["rational"]
    groups: int = Field(
        default=8,
        ge=1,
        le=64,
        description="groups of channels with a denominator of their own; all share the numerator",
    )


class SplineActivationConfig(Config):
    """A learnable spline activation for each channel, before a plain layer: a control (KANbeFair, arXiv 2407.16674)."""

    name: Literal["spline_activation"]
    grid_size: int = Field(default=5, ge=1, le=100, description="intervals of the grid")
    spline_order: int = Field(default=3, ge=1, le=5, description="polynomial order of each piece")
    grid_range: float = Field(default=2.0, gt=0, le=100, description="the grid covers [-grid_range, grid_range]")


class PowerMLPConfig(Config):
    """ReLU(Wx + b)^power + V SiLU(x): a control of a KAN's shape without a basis (PowerMLP, arXiv 2412.13571)."""

    name: Literal["power_mlp"]
    power: int = Field(default=3, ge=1, le=5, description="exponent of the rectified map")


class PlainConfig(Config):
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
    | SineConfig
    | RationalConfig
    | SplineActivationConfig
    | PowerMLPConfig
    | PlainConfig,
    Field(discriminator="name"),
]

ACTIVATIONS_BEFORE_PLAIN_LAYERS = ("none", "rational", "spline_activation")
"""Names of what is no expansion, but an activation before a plain layer; "none" is the fixed activation."""
CONTROLS = ("none", "spline_activation", "power_mlp")
"""Names of what is no KAN, and is there for KANs to be measured against."""


def is_control(name: str) -> bool:
    """Whether the basis of this name is a control, and a network of it no KAN."""
    return name in CONTROLS


def kind_of(model: Mapping[str, Any]) -> Literal["KAN", "plain", "control"]:
    """The kind of a network, from the document of its model.

    KAN: one of its layers has a basis that is no control. plain: none has a basis. control: any other network, such as
    one with a learned activation.
    """
    used = [model["basis"]] if model.get("convolution") != "plain" else []
    if model.get("classifier") == "kan":
        classifier = model.get("classifier_basis") or model["basis"]
        used += [classifier, model.get("output_basis") or classifier]
    names = {str(basis["name"]) for basis in used}
    if not all(map(is_control, names)):
        return "KAN"
    return "plain" if names <= {"none"} else "control"


def expands(name: str) -> bool:
    """Whether the basis of this name expands inputs into features: `trials.kan.BASES` has those."""
    return name not in (*ACTIVATIONS_BEFORE_PLAIN_LAYERS, "power_mlp")


_POLYNOMIALS = ("chebyshev", "legendre", "gram", "jacobi", "bernstein")


def in_published_form(basis: Mapping[str, Any]) -> dict[str, Any]:
    """A basis' document with the scale and the constant that were published, where it does not say otherwise."""
    form: dict[str, Any] = {"unit_variance": False} if basis.get("name") in _POLYNOMIALS else {}
    form |= {"constant": True} if basis.get("name") == "bernstein" else {}
    return {**form, **basis}
