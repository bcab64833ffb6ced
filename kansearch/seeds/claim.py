"""config.yaml in the folder of a retraining: whose folder it is. It is there before anything is trained."""

from __future__ import annotations

import importlib.metadata
import platform
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from kansearch import __version__
from kansearch.errors import InputError, KansearchError
from kansearch.seeds.retraining import Retraining
from trials.config import TrialConfig
from trials.files import write_whole

__all__ = ["claim", "versions"]

_HEADER = "# Trained by `kansearch retrain`, which can read this file as well as one of `kansearch export`.\n"


def claim(retraining: Retraining) -> Retraining:
    """Make the folder this retraining's, or find that it is; the retraining with its identity, which stays.

    Raises:
        InputError: it holds a model of another configuration, or one that was trained in another way.
        KansearchError: it can't be written.
    """
    path = retraining.out / "config.yaml"
    try:
        retraining.out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return replace(retraining, identity=_same(path, retraining))
        identity = uuid.uuid4().hex
        write_whole(path, _HEADER + yaml.safe_dump(_document(retraining, identity), sort_keys=False))
    except OSError as error:
        raise KansearchError(f"cannot write {retraining.out}: {error.strerror}") from error
    return replace(retraining, identity=identity)


def versions() -> dict[str, str]:
    """Return the versions of the software that decides the numbers: kansearch, Python, torch and numpy."""
    packages = {name: importlib.metadata.version(name).partition("+")[0] for name in ("torch", "numpy")}
    return {"kansearch": __version__, "python": platform.python_version(), **packages}


def _document(retraining: Retraining, identity: str) -> dict[str, Any]:
    return {
        **({"source": dict(retraining.source)} if retraining.source else {}),
        "retrain": {"id": identity, **_way(retraining), "versions": versions()},
        "config": retraining.config.model_dump(mode="json"),
    }


def _way(retraining: Retraining) -> dict[str, Any]:
    """Return how it is trained, beside the configuration."""
    return {"data": "training" if retraining.hold_out else "all", "processes": retraining.processes}


def _same(path: Path, retraining: Retraining) -> str:
    out = retraining.out
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = TrialConfig.model_validate(document["config"])
        begun = dict(document["retrain"])
        identity = str(begun["id"])
    except (yaml.YAMLError, ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path} is damaged, or another program's; give an empty folder") from error
    if config != retraining.config:
        raise InputError(f"{out} holds a model of another configuration; give an empty folder")
    for name, value in _way(retraining).items():
        if begun.get(name) != value:
            option = {"data": "--data", "processes": "--gpus"}[name]
            way_out = "go on with that, or give an empty folder"
            raise InputError(f"{out} was begun with {option} {begun.get(name)}; {way_out}")
    return identity
