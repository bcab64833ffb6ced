"""Kolmogorov-Arnold layers: a basis expands the input into channels, one native convolution or product does the rest.

from trials.kan import BASES, KANConv2d
layer = KANConv2d(16, 32, kernel_size=3, padding=1, basis=BASES["bspline"](grid_size=8))
"""

from trials.kan.activation import ChannelActivation
from trials.kan.basis import BASES, Basis, build_basis
from trials.kan.bottleneck import BottleneckKANConv1d, BottleneckKANConv2d, BottleneckKANConv3d, bottleneck_width
from trials.kan.conv import KANConv1d, KANConv2d, KANConv3d
from trials.kan.linear import KANLinear
from trials.kan.mixture import MixtureKANConv1d, MixtureKANConv2d, MixtureKANConv3d
from trials.kan.perturbation import Perturbation
from trials.kan.power import PowerConv1d, PowerConv2d, PowerConv3d, PowerLayer, PowerLinear
from trials.kan.rational import GroupRational
from trials.kan.spline_activation import SplineActivation

__all__ = [
    "BASES",
    "Basis",
    "BottleneckKANConv1d",
    "BottleneckKANConv2d",
    "BottleneckKANConv3d",
    "ChannelActivation",
    "GroupRational",
    "KANConv1d",
    "KANConv2d",
    "KANConv3d",
    "KANLinear",
    "MixtureKANConv1d",
    "MixtureKANConv2d",
    "MixtureKANConv3d",
    "Perturbation",
    "PowerConv1d",
    "PowerConv2d",
    "PowerConv3d",
    "PowerLayer",
    "PowerLinear",
    "SplineActivation",
    "bottleneck_width",
    "build_basis",
]
