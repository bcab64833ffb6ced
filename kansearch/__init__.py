"""Hyperparameter and architecture search for Kolmogorov-Arnold Networks: the driver's side. Imports no torch.

    from kansearch import launch, load_model, retrain

    study = launch("quickstart", {"search.trials": 10})
    print(study.front())
    study.export("best.yaml", pick="best")
    retrain("best.yaml", "model")
    labels = load_model("model").predict(images)

Each of these names is imported when it is first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["Model", "Study", "__version__", "launch", "load_model", "load_space", "retrain"]

if TYPE_CHECKING:
    from kansearch.api.models import Model, load_model, retrain
    from kansearch.api.spaces import load_space
    from kansearch.api.studies import Study, launch
else:
    _MODULES = {
        "Model": "models",
        "Study": "studies",
        "launch": "studies",
        "load_model": "models",
        "load_space": "spaces",
        "retrain": "models",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"kansearch.api.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
