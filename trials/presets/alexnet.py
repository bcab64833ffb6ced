"""AlexNet on CIFAR-10, and a Fourier KAN classifier on its frozen features."""

from __future__ import annotations

from trials.presets.preset import Preset

__all__ = ["PRESETS"]

SOURCE = "github.com/tdelanversin/VisMedProject; its Fourier layer: github.com/GistNoesis/FourierKAN"

PRESETS = (
    Preset(
        "alexnet",
        {"family": "alexnet"},
        "cifar10",
        (3, 32, 32, 10),
        SOURCE,
        {"accuracy": 0.7992, "parameters": 35_855_178},
    ),
    Preset(
        "alexnet-fourierkan",
        {
            "family": "alexnet",
            "classifier": "kan",
            "classifier_basis": {"name": "fourier", "grid_size": 7, "raw": True},
            "output_basis": {"name": "fourier", "grid_size": 5, "raw": True},
            "classifier_normalization": "none",
            "base_branch": False,
            "affine": False,
            "hidden": 100,
            "hidden_layers": 1,
        },
        "cifar10",
        (3, 32, 32, 10),
        SOURCE,
        {"accuracy": 0.8185, "parameters": 7_996_094},
        "the published features come from a trained AlexNet and stay frozen: set `features: frozen` and `pretrained`, "
        "after which the 5,744,510 parameters of the classifier alone are counted",
    ),
)
