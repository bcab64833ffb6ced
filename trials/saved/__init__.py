"""Trained models in folders: the face through which others load, ask, describe and change them.

    model, config = load_model("model/")
    Predictor("model/").probabilities(samples)

`trained` writes and loads a folder. `weights` reads numbers alone, and `pretrained` those that a network starts from.
`prediction` answers for samples and test images. `portable` writes ONNX and torch's exported program. `compress/` makes
a model smaller or larger. `symbolic/` reads formulas from it. `inspection` draws out the functions that it has learned.
Each name below is imported when it is first used: importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trials.lazy import lazily

__all__ = [
    "COMPRESSION_ERRORS",
    "MANIFEST",
    "WEIGHTS",
    "Answers",
    "CompressionOptions",
    "Figures",
    "LearnedLayer",
    "ModelError",
    "PortableError",
    "Predictor",
    "Progress",
    "SymbolicError",
    "TrainedModel",
    "WeightsError",
    "WrittenFormula",
    "answer_test",
    "check_formats",
    "describe_model",
    "formulas_of",
    "grow",
    "inspect_weights",
    "load_model",
    "model_folder",
    "read_config",
    "shrink",
    "write_portable",
]

if TYPE_CHECKING:
    from trials.saved.compress.errors import COMPRESSION_ERRORS
    from trials.saved.compress.figures import Figures
    from trials.saved.compress.larger import grow
    from trials.saved.compress.smaller import CompressionOptions, shrink
    from trials.saved.compress.steps import Progress
    from trials.saved.inspection import LearnedLayer, inspect_weights
    from trials.saved.portable import PortableError, check_formats, write_portable
    from trials.saved.prediction import Answers, Predictor, answer_test
    from trials.saved.symbolic.front import SymbolicError, WrittenFormula, formulas_of
    from trials.saved.trained import (
        MANIFEST,
        WEIGHTS,
        ModelError,
        TrainedModel,
        describe_model,
        load_model,
        model_folder,
        read_config,
    )
    from trials.saved.weights import WeightsError
else:
    __getattr__ = lazily(
        __name__,
        {
            "trials.saved.compress.errors": "COMPRESSION_ERRORS",
            "trials.saved.compress.figures": "Figures",
            "trials.saved.compress.larger": "grow",
            "trials.saved.compress.smaller": "CompressionOptions shrink",
            "trials.saved.compress.steps": "Progress",
            "trials.saved.inspection": "LearnedLayer inspect_weights",
            "trials.saved.portable": "PortableError check_formats write_portable",
            "trials.saved.prediction": "Answers Predictor answer_test",
            "trials.saved.symbolic.front": "SymbolicError WrittenFormula formulas_of",
            "trials.saved.trained": "MANIFEST WEIGHTS ModelError TrainedModel describe_model load_model model_folder "
            "read_config",
            "trials.saved.weights": "WeightsError",
        },
    )
