"""`kansearch compare`: models that were really trained, beside each other on the same test images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kansearch.errors import InputError, KansearchError
from kansearch.models.compare import compare
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from tests.commandline import Command, kansearch_fixture, one_line
from trials.config import TrialConfig
from trials.saved.prediction import answer_test

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def config(**changes: Any) -> TrialConfig:
    model = {"depth": 1, "width": 4, "basis": {"name": "gram"}}
    return TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": model, "epochs": 1, **changes})


@pytest.fixture(scope="module", name="models")
def models_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`kan` and `plain` of three seeds, `later` of two others, `other` of another data set."""
    home = tmp_path_factory.mktemp("models")
    retrain(Retraining(config(), home / "kan", 3))
    retrain(Retraining(config(model={"depth": 1, "width": 8, "basis": {"name": "none"}}), home / "plain", 3))
    retrain(Retraining(config(seed=7), home / "later", 2))
    data = {"dataset": "synthetic", "size": [8, 8], "samples": 100}
    retrain(Retraining(config(data=data), home / "other"))
    return home


def figures(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))


def test_accuracies_and_counts_are_those_of_the_models(models: Path) -> None:
    found = compare(models / "kan", models / "plain")
    kan, plain = (figures(models / name) for name in ("kan", "plain"))
    assert (found["dataset"], found["images"]) == ("digits", 360)
    assert [each["accuracy"] for each in found["models"]] == pytest.approx([kan["accuracy"], plain["accuracy"]])
    assert found["difference"] == pytest.approx(kan["accuracy"] - plain["accuracy"])
    assert [pair["seeds"] for pair in found["pairs"]] == [[0, 0], [1, 1], [2, 2]]
    for pair, one, other in zip(found["pairs"], kan["runs"], plain["runs"], strict=True):
        assert (pair["first_alone"] - pair["second_alone"]) / 360 == pytest.approx(one["accuracy"] - other["accuracy"])
    right = [answer_test(models / name / "seed-0").right for name in ("kan", "plain")]
    assert found["pairs"][0]["first_alone"] == np.sum(right[0] & ~right[1])
    assert all(found["interval"][name] > 0 for name in ("images", "seeds", "both"))


def test_the_other_way_round_the_sign_turns(models: Path) -> None:
    there, back = (compare(models / a, models / b) for a, b in (("kan", "plain"), ("plain", "kan")))
    assert there["difference"] == -back["difference"]
    assert there["interval"] == pytest.approx(back["interval"])


def test_two_single_models_are_a_pair_whatever_their_seeds(models: Path) -> None:
    found = compare(models / "kan/seed-0", models / "plain/seed-2")
    assert [pair["seeds"] for pair in found["pairs"]] == [[0, 2]]
    assert found["interval"]["both"] is None and found["interval"]["seeds"] is None


def test_a_copy_of_one_seed_is_compared_with_that_seed(models: Path, tmp_path: Path) -> None:
    """As a folder of `compress` is, which has a model of the first seed."""
    shutil.copytree(models / "kan/seed-1", tmp_path / "copy")
    found = compare(models / "kan", tmp_path / "copy")
    assert found["pairs"] == [{"seeds": [1, 1], "first_alone": 0, "second_alone": 0, "p": 1.0}]


def test_no_common_seed_is_refused(models: Path) -> None:
    with pytest.raises(InputError, match=r"no seed is in both: .*kan has 0, 1, 2, .*later has 7, 8; name one seed's"):
        compare(models / "kan", models / "later")


def test_other_images_are_refused(models: Path) -> None:
    with pytest.raises(InputError, match=r"other \(synthetic, 25 images\) are not those of .*seed-0 \(digits, 360 im"):
        compare(models / "other", models / "kan/seed-0")


def test_a_model_of_pixels_and_an_empty_folder_are_refused(tmp_path: Path, models: Path) -> None:
    data = {"dataset": "synthetic", "size": [16, 16], "samples": 64, "dense": True}
    retrain(Retraining(config(data=data, model={"family": "unet", "width": 4, "depth": 2}), tmp_path / "dense"))
    with pytest.raises(KansearchError, match="has a class for each pixel"):
        compare(tmp_path / "dense", models / "kan")
    with pytest.raises(KansearchError, match="no trained model there; `kansearch retrain CONFIG -o "):
        compare(tmp_path, models / "kan")


def test_what_the_command_says(models: Path, kansearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)
    found = json.loads(kansearch("compare", "kan", "plain", "--json").out)
    lines = kansearch("compare", "kan", "plain").out.splitlines()
    accuracies = ", ".join(f"{each['folder']} {each['accuracy']:.4f}" for each in found["models"])
    assert lines[0] == f"digits, 360 test images, 3 pairs of seeds: {accuracies}"
    both, seeds, images = (found["interval"][name] for name in ("both", "seeds", "images"))
    verdict = "is beyond chance" if abs(found["difference"]) > both else "may be chance"
    assert lines[1] == (
        f"difference {found['difference']:+.4f} ± {both:.4f} (95 %, over other seeds and images), which {verdict}"
    )
    assert lines[2] == f"of which other seeds alone ± {seeds:.4f}, other images alone ± {images:.4f}"
    first = found["pairs"][0]
    assert lines[3] == (
        f"seed 0: the first alone is right on {first['first_alone']} images, the second on {first['second_alone']}: "
        f"p = {first['p']:.4f} (McNemar's exact test)"
    )
    single = kansearch("compare", "kan/seed-0", "plain/seed-1").out
    assert "the interval is of these models: with 3 or more seeds each (`kansearch retrain --seeds 3`)" in single
    assert "\nseed 0 and 1: the first alone is right on " in single
    refused = one_line(kansearch("compare", "kan", "other"), 2)
    assert refused.startswith("kansearch: the test images of kan (digits, 360 images) are not those of other (synth")
