"""What `retrain` leaves in its folder: the same figures twice, a card that tells them, and pictures."""

from __future__ import annotations

import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.stats import binomtest

from kansearch.errors import InputError
from kansearch.seeds.claim import versions
from kansearch.seeds.pictures import confusion_figure
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from kansearch.space import load_config, load_source
from tests.test_deliver import Seen, comparable
from trials.config import TrialConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CONFIG = TrialConfig.model_validate(
    {
        "data": {"dataset": "digits", "limit": 200, "batch_size": 32, "augment": "affine"},
        "model": {"depth": 1, "width": 4, "basis": {"name": "gram"}, "dropout": 0.1},
        "epochs": 2,
    }
)
SOURCE = {"study": "digits-study", "trial": 7, "pick": "knee", "data": {"sha256": "0" * 64}}


@pytest.fixture(scope="module", name="out")
def out_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three seeds, with a validation part."""
    out = tmp_path_factory.mktemp("model") / "m"
    retrain(Retraining(CONFIG, out, 3, hold_out=True, source=SOURCE))
    return out


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def test_the_same_configuration_and_seed_give_the_same_figures_twice(out: Path, tmp_path: Path) -> None:
    retrain(Retraining(CONFIG, tmp_path / "again", 3, hold_out=True, source=SOURCE))
    for name in ("metrics.json", "seed-0/metrics.json", "seed-1/metrics.json"):
        assert comparable(read(out / name)) == comparable(read(tmp_path / "again" / name))
    for name in ("seed-0/model.safetensors", "seed-1/model.safetensors", "seed-0/model.json", "confusion.png"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_figures_have_an_interval_and_each_seed_its_throughput(out: Path) -> None:
    metrics = read(out / "metrics.json")
    accuracies = [run["accuracy"] for run in metrics["runs"]]
    expected = 4.302653 * statistics.stdev(accuracies) / math.sqrt(3)  # t with 2 degrees of freedom
    assert metrics["interval"]["accuracy"] == pytest.approx(expected, rel=1e-6)
    hits = round(metrics["accuracy"] * metrics["images"])
    sampling = binomtest(hits, metrics["images"]).proportion_ci(method="wilson")
    assert metrics["accuracy_sampling"] == pytest.approx((sampling.high - sampling.low) / 2, rel=1e-2)
    assert {"calibration_error", "f1", "validation_accuracy", "validation_loss"} <= metrics["interval"].keys()
    assert "timing" not in metrics, "no mean of what is measured in seconds stands beside the figures"
    for run in metrics["runs"]:
        assert run["timing"]["inference"]["images_per_second"] > 0
        assert len(run["data"]["sha256"]) == 64


def test_the_validation_part_is_measured_after_each_epoch_and_left_out_of_training(out: Path, tmp_path: Path) -> None:
    curve = json.loads((out / "seed-0/curve.json").read_text())
    assert all(0 <= row["accuracy"] <= 1 for row in curve)
    whole = retrain(Retraining(CONFIG, tmp_path / "whole"))
    assert "validation_accuracy" not in whole
    assert json.loads((tmp_path / "whole/seed-0/curve.json").read_text())[0]["accuracy"] is None


def test_the_card_tells_what_it_is_and_its_figures(out: Path) -> None:
    card, metrics = (out / "README.md").read_text(), read(out / "metrics.json")
    assert card.startswith("# digits: gram(3) 1x4 adamw\n")
    assert "study `digits-study`, trial 7 (pick: knee)" in card
    for name, words in (
        ("accuracy", "accuracy"),
        ("f1", "F1, macro"),
        ("calibration_error", "expected calibration"),
    ):
        assert re.search(rf"\| {words}[^|]*\| {metrics[name]:.4f} \| ± {metrics['interval'][name]:.4f} \|", card)
    rows = re.findall(r"^\| (\d) \| [\d.]+ \| [\d.]+ \| [\d.]+ \| (\d+) \|$", card, re.MULTILINE)
    assert [label for label, _ in rows] == [str(label) for label in range(10)]
    assert sum(int(count) for _, count in rows) == metrics["images"]
    assert "kansearch retrain config.yaml --seeds 3 --data training -o" in card
    assert metrics["runs"][0]["data"]["sha256"] in card and "other data: its checksum differs" in card
    assert all(version in card for version in versions().values())
    assert yaml.safe_load(card.split("```yaml")[1].split("```")[0]) == CONFIG.model_dump(mode="json")
    assert f"Other test samples may move the accuracy by ± {metrics['accuracy_sampling']:.4f} (95 %, Wilson's" in card
    assert "as it was trained with seed 0; `kansearch confirm` measures it with others alone" in card
    for word in ("curves.png", "confusion.png", "Licence", "Limits", "load_model", "samples/s"):
        assert word in card


def test_pictures_are_large_enough_to_read(out: Path) -> None:
    for name, sides in (("curves.png", (1400, 500)), ("confusion.png", (900, 800))):
        with Image.open(out / name) as picture:
            assert picture.format == "PNG" and picture.width >= sides[0] and picture.height >= sides[1]
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20, "something is drawn"


def test_a_confusion_matrix_of_many_classes_is_drawn_without_their_names() -> None:
    few, many = (confusion_figure(np.eye(count, dtype=int), ["name"] * count, 1) for count in (5, 120))
    assert len(few.axes[0].texts) == 5 and len(many.axes[0].texts) == 0


def test_the_folders_configuration_says_where_it_comes_from_and_is_read_back(out: Path) -> None:
    assert load_config(out / "config.yaml") == CONFIG
    assert load_source(out / "config.yaml") == SOURCE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hold_out": False}, "was begun with --data training; go on with that, or give an empty folder"),
        ({"processes": 2}, "was begun with --gpus 1; go on with that"),
        ({"config": CONFIG.model_copy(update={"epochs": 3})}, "holds a model of another configuration"),
    ],
)
def test_a_folder_that_was_begun_in_another_way_is_refused(out: Path, changes: dict[str, Any], reason: str) -> None:
    before = (out / "metrics.json").read_bytes()
    told = {"config": CONFIG, "out": out, "seeds": 2, "hold_out": True, **changes}
    with pytest.raises(InputError, match=reason):
        retrain(Retraining(**told))
    assert (out / "metrics.json").read_bytes() == before


def test_what_is_no_configuration_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("some: thing\n")
    with pytest.raises(InputError, match=r"config\.yaml is damaged, or another program's"):
        retrain(Retraining(CONFIG, tmp_path))


def test_what_is_trained_is_told_again_and_nothing_is_trained_twice(out: Path) -> None:
    before, seen = (out / "seed-0/metrics.json").stat().st_mtime_ns, Seen()
    retrain(Retraining(CONFIG, out, 2, hold_out=True, source=SOURCE), [seen])
    assert seen.known == [(0, "complete", 2), (1, "complete", 2)] and seen.epochs == []
    assert (out / "seed-0/metrics.json").stat().st_mtime_ns == before
