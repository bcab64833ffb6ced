"""Search, look, export, retrain and predict, without the command line: about a minute on two CPU cores."""

import sys
from pathlib import Path

from sklearn.datasets import load_digits

from kansearch import launch, load_model, retrain

SPACE = {
    "study": "notebook",
    "data": {"dataset": "digits", "validation": 0.2, "batch_size": 32},
    "model": {
        "depth": 2,
        "width": {"int": [4, 12], "log": True},
        "basis": {"choice": ["none", {"name": "gram", "degree": {"int": [2, 4]}}]},
    },
    "optimizer": {"name": "adamw", "lr": {"float": [2e-3, 2e-2], "log": True}},
    "epochs": 6,
    "search": {"sampler": "random", "scheduler": "none", "trials": 8, "seed": 0},
}


def main(folder: Path) -> None:
    """Write everything below `folder`."""
    study = launch(SPACE, home=folder / "studies", progress=False)
    print(study.front()[["accuracy", "parameters", "model.width", "model.basis"]])

    number = study.export(folder / "best.yaml", pick="best")
    metrics = retrain(folder / "best.yaml", folder / "model", epochs=12, home=folder / "studies", progress=False)
    print(f"trial {number}, trained again: test accuracy {metrics['accuracy']:.3f}")

    model = load_model(folder / "model")
    images = load_digits().images[:8] * (255 / 16)  # (N, 8, 8), from 0 to 255 as in training
    print("predicted:", [model.classes[label] for label in model.predict(images)])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
