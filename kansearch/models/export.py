"""`export`: the configuration of a chosen trial as a YAML file that `retrain` reads (`kansearch.space.load_config`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kansearch import __version__
from kansearch.errors import InputError, KansearchError
from kansearch.models.commented import commented_yaml
from kansearch.study.figures import values
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from trials.config import TrialConfig

__all__ = ["export"]

_HEADER = "# Trial "


def export(study: Study, record: TrialRecord, path: Path, data_dir: Path | None = None) -> None:
    """Write a trial's configuration, with where it comes from, to the YAML file `path`.

    Args:
        study: that the trial is of.
        record: a trial; `kansearch.models.pick` chooses one.
        path: of the file, which may be an earlier export.
        data_dir: where to look for the data set first, of which a checksum is noted.

    Raises:
        InputError: `path` is a file that no export wrote, such as the search space.
        KansearchError: the data is damaged, or `path` can't be written.
    """
    _spare(path)
    config = record.config
    source = yaml.safe_dump({"source": _source(study, record, config, data_dir)}, sort_keys=False, width=2**20)
    text = f"{_header(study, record, path)}\n{source}\nconfig:\n{commented_yaml(config, indent=2)}"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise KansearchError(f"cannot write {path}: {error.strerror}") from error


def _header(study: Study, record: TrialRecord, path: Path) -> str:
    if record.state == "complete":
        found = (
            f"Measured on held-out images of the training split after {record.epochs} epochs: {values(record.values)}."
        )
    else:
        found = (
            f"It is {record.state}, not complete, after {record.epochs} epochs: {record.reason or 'no reason noted'}."
        )
    return (
        f"{_HEADER}{record.number} of study {study.name}.\n"
        f"# {found}\n"
        f"# Train it to the end and measure it on the test split: kansearch retrain {path} -o {path.stem}-model\n"
    )


def _source(study: Study, record: TrialRecord, config: TrialConfig, data_dir: Path | None) -> dict[str, Any]:
    """Where the configuration comes from: what is needed to tell whether another machine would find the same."""
    session, search_seed = _searched(study, record)
    names = ("processor", "accelerators", "system")
    return {
        "study": study.name,
        "trial": record.number,
        "state": record.state,
        "values": dict(record.values),
        "epochs": record.epochs,
        "metrics": record.metrics,
        "seeds": {"search": search_seed, "split": config.data.split_seed, "trial": config.seed},
        "data": {"sha256": _checksum(config, data_dir)},
        "versions": {**session.get("versions", {}), "kansearch": __version__},
        "hardware": {name: session[name] for name in names if name in session},
    }


def _searched(study: Study, record: TrialRecord) -> tuple[Mapping[str, Any], int]:
    """The last session of the study that trained the trial, and its search's seed; a merged one knows several."""
    name = None if record.source is None else record.source["study"]
    sessions = [session for session in study.sessions if session.get("study") == name]
    seeds = [source["search"]["seed"] for source in study.sources if source["study"] == name]
    return (sessions[-1] if sessions else {}), (seeds[-1] if seeds else study.space.search.seed)


def _checksum(config: TrialConfig, data_dir: Path | None) -> str | None:
    from trials.data.checksum import data_checksum
    from trials.data.errors import DataError

    try:
        return data_checksum(config.data, data_dir)
    except DataError as error:
        raise KansearchError(str(error)) from error


def _spare(path: Path) -> None:
    if path.is_file() and path.stat().st_size and not path.read_bytes().startswith(_HEADER.encode()):
        raise InputError(f"{path} exists and was not written by `kansearch export`; name another file")
