"""Measurements of sharing GPUs, remembered for all studies of a user: `$XDG_CACHE_HOME/kansearch/sharing.json`.

Each key has one `Sharing`; the key tells what that depends on. The file is disposable: where it
cannot be read, sharing is measured anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kansearch import __version__
from kansearch.errors import InputError
from kansearch.space import RandomSuggest, SearchSpace
from trials.files import write_whole
from trials.results import Sharing

__all__ = ["Remembered", "key_of"]

_KEPT = 200
"""Measurements in the file; the oldest go first."""
_CONTENT = TypeAdapter(dict[str, Sharing])
_PACKAGES = ("torch", "triton")
_IRRELEVANT = {"epochs", "seed"}
"""Keys of a configuration that change neither a step's time nor its memory."""
_log = logging.getLogger(__name__)


def key_of(space: SearchSpace, drawn: int, most: int, gpus: Sequence[tuple[str, int]]) -> str:
    """Return what a measurement depends on, as 64 characters.

    Args:
        space: by the configurations drawn from it, its constraints, and the CPU threads of a trial.
        drawn: how many configurations are drawn.
        most: how many run at once at the most.
        gpus: name and memory, MiB, of each.
    """
    versions = {name: _version(name) for name in _PACKAGES} | {"kansearch": __version__}
    constraints = {str(name): bound for name, bound in space.constraints.items()}
    threads = space.search.cpus_per_trial
    parts = [_configurations(space, drawn), constraints, threads, most, sorted(map(list, gpus)), versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _configurations(space: SearchSpace, drawn: int) -> list[object]:
    """The configurations that a plan of this space would draw."""
    suggest = RandomSuggest(random.Random(space.search.seed))
    found: list[object] = []
    for _ in range(drawn):
        try:
            found.append(space.sample(suggest).model_dump(mode="json", exclude=_IRRELEVANT))
        except InputError as error:
            found.append(str(error).removeprefix(space.file))
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class Remembered:
    """The file, read and written as a whole. Any failure to do so is logged, and nothing else."""

    def __init__(self, path: Path | None = None) -> None:
        cache = os.environ.get("XDG_CACHE_HOME")
        folder = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
        self.path = path or folder / "kansearch" / "sharing.json"

    def get(self, key: str) -> Sharing | None:
        """Return the measurement under this key; None where there is none."""
        return self._read().get(key)

    def put(self, key: str, sharing: Sharing) -> None:
        """Remember a measurement. Its owner alone may read the file, which is replaced as a whole."""
        content = self._read()
        content.pop(key, None)
        kept = dict([*content.items(), (key, sharing)][-_KEPT:])
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.path, _CONTENT.dump_json(kept), mode=0o600)
        except OSError as error:
            _log.warning("what was measured of the GPU is not remembered: %s: %s", self.path, error.strerror)

    def _read(self) -> dict[str, Sharing]:
        """Empty where there is no such file, or none that can be read."""
        try:
            return _CONTENT.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            _log.warning("what was measured of the GPU earlier is ignored: %s: %s", self.path, error.strerror)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            _log.warning("what was measured of the GPU earlier is ignored: %s: %s", self.path, reason)
        return {}
