"""From a study to a configuration: which trial is meant, and that its file is complete, explained and read back."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kansearch import __version__
from kansearch.errors import InputError, KansearchError
from kansearch.models.commented import commented_yaml
from kansearch.models.export import export
from kansearch.models.pick import pick_trial
from kansearch.space import load_config, parse_config, parse_space, random_config
from kansearch.study.study import Study
from tests.datafiles import write_arrays
from tests.helpers import SMALL_SPACE, start_trial
from tests.random_spaces import random_spaces
from trials.config import TrialConfig
from trials.data.checksum import data_checksum
from trials.data.mnist import read_digits

FOUND = ((0.90, 5_000), (0.80, 500), (0.85, 1_000), (0.84, 2_000))
"""Accuracy and parameters of the complete trials; the last is dominated."""
EPOCH = {"epoch": 2, "train_loss": 0.5, "validation_loss": 0.6, "images_per_second": 1e3, "seconds": 1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Four complete trials, trial 4 pruned, trial 5 failed."""
    study = Study.create(tmp_path_factory.mktemp("studies"), parse_space(SMALL_SPACE, "small.yaml"))
    for accuracy, parameters in FOUND:
        trial = start_trial(study)
        study.add_epochs(trial.number, [{**EPOCH, "accuracy": accuracy, "parameters": parameters}])
        study.complete(trial.number)
    pruned = start_trial(study)
    study.add_epochs(pruned.number, [{**EPOCH, "epoch": 1, "accuracy": 0.3, "parameters": 700}])
    study.prune(pruned.number, "rung 1: rank 4 of 5")
    study.fail(start_trial(study).number, "TrialDiverged: the loss is not finite")
    study.add_session(
        {"versions": {"kansearch": "0.0.1", "torch": "2.14.1"}, "processor": "Abacus", "accelerators": []}
    )
    return study


# -- which trial ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"pick": "best"}, 0),
        ({"pick": "smallest"}, 1),
        ({"pick": "2"}, 2),
        ({"pick": "3"}, 3),
        ({"max_parameters": 2_000}, 2),
        ({"max_parameters": 500}, 1),
        ({"max_parameters": 10**9}, 0),
        ({"max_parameters": 2_000, "pick": "smallest"}, 1),
        ({"min_accuracy": 0.84}, 2),
        ({"min_accuracy": 0.0}, 1),
        ({"min_accuracy": 0.84, "max_parameters": 4_999}, 2),
        ({"min_accuracy": 0.8, "pick": "best"}, 0),
        ({"pick": "4", "force": True}, 4),
        ({"pick": "5", "force": True}, 5),
    ],
)
def test_a_pick_means_what_it_says(study: Study, choice: dict[str, Any], expected: int) -> None:
    assert pick_trial(study, **choice).number == expected


def test_without_a_word_the_knee_is_meant(study: Study) -> None:
    assert pick_trial(study) == pick_trial(study, "knee")
    assert pick_trial(study).number in (0, 1, 2), "the knee is on the front"


@pytest.mark.parametrize(
    ("choice", "error", "reason"),
    [
        ({"pick": "middle"}, InputError, "give knee, best, smallest or a trial number"),
        ({"pick": "-1"}, InputError, "give knee, best, smallest or a trial number"),
        ({"pick": ""}, InputError, "give knee, best, smallest or a trial number"),
        ({"pick": "6"}, InputError, "the study has trials 0 to 5"),
        ({"pick": "6", "force": True}, InputError, "the study has trials 0 to 5"),
        (
            {"pick": "4", "force": False},
            InputError,
            r"the trial is pruned, not complete \(rung 1: rank 4 of 5\); --force takes it",
        ),
        ({"pick": "5"}, InputError, r"the trial is fail, not complete \(TrialDiverged: the loss is not finite\)$"),
        ({"pick": "1", "max_parameters": 9}, InputError, "--pick 1 names one trial"),
        ({"max_parameters": 499}, KansearchError, "at most 499 parameters: the smallest has 500"),
        ({"min_accuracy": 0.91}, KansearchError, "no complete trial has an accuracy of 0.91: the best has 0.9000"),
        ({"min_accuracy": 0.9, "max_parameters": 4_999}, KansearchError, "with at most 4,999 parameters has .* 0.8500"),
    ],
)
def test_a_pick_that_is_none_is_refused(
    study: Study, choice: dict[str, Any], error: type[KansearchError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        pick_trial(study, **choice)


# -- the file ------------------------------------------------------------------------------------------------------


def test_an_exported_configuration_is_read_back_as_it_was(study: Study, tmp_path: Path) -> None:
    for number in range(4):
        record = study.record(number)
        export(study, record, tmp_path / "best.yaml")
        assert load_config(tmp_path / "best.yaml").model_dump(mode="json") == record.stored.document


def test_it_says_where_it_comes_from(study: Study, tmp_path: Path) -> None:
    export(study, study.record(0), tmp_path / "best.yaml")
    source = yaml.safe_load((tmp_path / "best.yaml").read_text())["source"]
    record = study.record(0)
    assert (source["study"], source["trial"], source["state"]) == ("small", 0, "complete")
    assert source["values"] == {"accuracy": 0.9, "parameters": 5_000}
    assert source["metrics"] == record.metrics
    assert source["seeds"] == {"search": 1, "split": 0, "trial": record.config.seed}
    assert source["versions"] == {"kansearch": __version__, "torch": "2.14.1"}
    assert source["hardware"] == {"processor": "Abacus", "accelerators": []}
    config = record.config
    assert source["data"]["sha256"] == data_checksum(config.data)


def test_every_line_of_the_configuration_is_explained(study: Study, tmp_path: Path) -> None:
    export(study, study.record(1), tmp_path / "best.yaml")
    text = (tmp_path / "best.yaml").read_text()
    lines = text.partition("\nconfig:\n")[2].splitlines()
    bare = [line.strip() for line in lines if "  # " not in line]
    assert all(line.startswith("name: ") for line in bare), "but for the name of a branch"
    assert f"kansearch retrain {tmp_path / 'best.yaml'} -o best-model" in text


def test_an_unfinished_trial_says_so(study: Study, tmp_path: Path) -> None:
    export(study, pick_trial(study, "4", force=True), tmp_path / "best.yaml")
    text = (tmp_path / "best.yaml").read_text()
    assert "# It is pruned, not complete, after 1 epochs: rung 1: rank 4 of 5." in text


def test_any_configuration_survives_being_commented() -> None:
    rng = random.Random(0)
    for space in random_spaces(60):
        config = random_config(space, rng)
        text = "config:\n" + commented_yaml(config, indent=2)
        assert parse_config(text, "it.yaml") == config


def test_export_never_overwrites_what_it_did_not_write(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SPACE)
    with pytest.raises(InputError, match="name another file"):
        export(study, study.record(0), path)
    assert path.read_text() == SMALL_SPACE
    path.unlink()
    export(study, study.record(0), path)
    export(study, study.record(1), path)
    assert load_config(path).model_dump(mode="json") == study.record(1).stored.document


# -- the checksum --------------------------------------------------------------------------------------------------


def test_the_checksum_of_digits_is_that_of_its_arrays() -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}})
    digest = hashlib.sha256()
    for split in read_digits():
        for array in (split.images, split.labels):
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    assert data_checksum(config.data) == digest.hexdigest()


def test_one_changed_value_changes_it_and_other_files_do_not(tmp_path: Path) -> None:
    data = {"dataset": "arrays", "size": [4], "channels": 1, "classes": 2}
    config = TrialConfig.model_validate({"data": data}).data
    x, y = np.arange(160, dtype=np.float32).reshape(40, 4), np.arange(40) % 2
    write_arrays(tmp_path, x, y)
    before = data_checksum(config, tmp_path)
    assert data_checksum(config, tmp_path) == before
    x[3, 2] += 1
    write_arrays(tmp_path, x, y)
    assert data_checksum(config, tmp_path) not in (before, None)


def test_of_data_that_are_elsewhere_there_is_none(tmp_path: Path) -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "imagefolder", "image_size": 8, "classes": 2}})
    assert data_checksum(config.data, tmp_path) is None
