"""Data: files that are missing or wrong are named; splits are stratified and apart; only training is augmented."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.datafiles import data_config, idx_bytes, write_idx
from trials.config import DataConfig
from trials.data import files, splits
from trials.data.augment.geometry import crop_flip
from trials.data.datasets import data_shape, read
from trials.data.files import FILES, DataMissingError, locate
from trials.data.idx import IdxError, read_idx
from trials.data.loader import evaluation_batches, steps_per_epoch, training_batches
from trials.data.splits import load_statistics, load_test, load_training

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, no system folder, and a network that is down."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KANSEARCH_DATA", raising=False)
    monkeypatch.setattr(files, "_SYSTEM", {"fashion_mnist": tmp_path / "system"})
    monkeypatch.setattr(files, "_download", lambda dataset: "no network")
    monkeypatch.setattr(splits, "_READ", {})


def test_digits_need_no_files() -> None:
    assert locate("digits") is None


@pytest.mark.parametrize("layout", [".", "kmnist", "KMNIST/raw"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
def test_files_are_found_in_every_layout(layout: str, compress: bool, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "data" / layout, compress=compress)
    found = locate("kmnist", tmp_path / "data")
    assert found is not None and found.resolve() == folder.resolve()
    training, held_out = load_training(DataConfig(dataset="kmnist"), CPU, tmp_path / "data")
    assert held_out is not None
    assert (len(training), len(held_out)) == (90, 10)


def test_places_are_looked_in_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANSEARCH_DATA", str(tmp_path / "variable"))
    system = write_idx(tmp_path / "system")
    assert locate("fashion_mnist", tmp_path / "named") == system
    cache = write_idx(tmp_path / "home/.cache/kansearch/FashionMNIST/raw")
    assert locate("fashion_mnist", tmp_path / "named") == cache
    variable = write_idx(tmp_path / "variable/fashion_mnist")
    assert locate("fashion_mnist", tmp_path / "named") == variable
    named = write_idx(tmp_path / "named")
    assert locate("fashion_mnist", tmp_path / "named") == named


def test_one_message_names_every_place_and_every_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANSEARCH_DATA", str(tmp_path / "variable"))
    partial = write_idx(tmp_path / "named")
    (partial / FILES[2]).unlink()
    with pytest.raises(DataMissingError) as caught:
        locate("fashion_mnist", partial)
    message = str(caught.value)
    places = [partial, tmp_path / "variable", tmp_path / "home/.cache/kansearch", tmp_path / "system"]
    ways = ["apt-get install dataset-fashion-mnist", "--data-dir", "$KANSEARCH_DATA", "no network"]
    for part in [*map(str, places), *FILES, *ways]:
        assert part in message
    assert "\n" not in message
    with pytest.raises(DataMissingError) as caught:
        locate("kmnist")
    assert "apt-get" not in str(caught.value)


def test_finding_files_loads_no_torch() -> None:
    code = "import sys, trials.data.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (idx_bytes(np.zeros((3, 4), np.uint8))[:-1], "23 bytes where sizes .3, 4. need 24"),
        (idx_bytes(np.zeros((3, 4), np.uint8)) + b"x", "25 bytes"),
        (idx_bytes(np.zeros((3, 4, 2), np.uint8)), "00000803"),
        (b"<html>no such file</html>", "3c68746d"),
        (bytes((0, 0, 8, 2, 0)), "bytes"),
        (b"", "not an IDX file"),
    ],
    ids=["truncated", "too long", "dimensions", "html", "header", "empty"],
)
def test_a_wrong_idx_file_is_named_with_what_is_wrong(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "some-labels"
    path.write_bytes(content)
    with pytest.raises(IdxError, match=f"some-labels.*{reason}"):
        read_idx(path, 2)


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"not gzip", lambda c: c[:-9] + b"\0" * 9])
def test_a_damaged_gz_is_named(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "some-labels.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))))
    with pytest.raises(IdxError, match=r"some-labels\.gz: damaged"):
        read_idx(path, 1)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        (FILES[1], np.zeros(99, np.uint8), "99 labels for 100 images"),
        (FILES[3], np.full(20, 10, np.uint8), "label 10"),
        (FILES[0], np.zeros((100, 32, 32), np.uint8), "32x32"),
    ],
)
def test_files_that_do_not_fit_each_other_are_named(
    name: str, array: np.ndarray[Any, Any], reason: str, tmp_path: Path
) -> None:
    write_idx(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with pytest.raises(IdxError, match=f"{name}.*{reason}"):
        read(DataConfig(dataset="mnist"), tmp_path)


def test_what_is_known_without_files_is_true_of_digits() -> None:
    config = DataConfig(dataset="digits")
    training, test = read(config, None)
    shape = data_shape(config)
    assert training.images.shape == (1437, shape.channels, *shape.size)
    assert test.images.shape[0] == 360
    assert set(training.labels) == set(test.labels) == set(range(shape.classes))
    assert training.images.dtype == np.uint8 and training.images.max() == 255


@pytest.mark.parametrize("limit", [None, 500])
def test_the_validation_split_is_stratified_apart_and_fixed_by_its_seed(limit: int | None) -> None:
    config = DataConfig(dataset="digits", validation=0.2, limit=limit)
    training, held_out = load_training(config, CPU)
    assert held_out is not None
    total = limit or 1437
    assert len(training) + len(held_out) == total and abs(len(held_out) - 0.2 * total) <= 1
    shares = [split.labels.bincount(minlength=10) / len(split) for split in (training, held_out)]
    torch.testing.assert_close(shares[0], shares[1], atol=0.015, rtol=0)
    rows = [{image.numpy().tobytes() for image in split.images} for split in (training, held_out)]
    assert not rows[0] & rows[1]
    again, _ = load_training(config, CPU)
    other, _ = load_training(config.model_copy(update={"split_seed": 1}), CPU)
    assert torch.equal(training.images, again.images)
    assert not torch.equal(training.images, other.images)


def test_nothing_held_out_is_the_whole_training_split_and_never_a_test_image() -> None:
    config = DataConfig(dataset="digits")
    everything, nothing = load_training(config, CPU, hold_out=False)
    training, held_out = load_training(config, CPU)
    test = load_test(config, CPU)
    assert nothing is None and held_out is not None
    assert len(everything) == len(training) + len(held_out) == 1437
    assert not {i.numpy().tobytes() for i in everything.images} & {i.numpy().tobytes() for i in test.images}
    assert torch.equal(test.mean, training.mean) and torch.equal(test.std, training.std)


def test_a_class_with_too_few_images_is_refused_in_words(tmp_path: Path) -> None:
    write_idx(tmp_path, images=20)
    with pytest.raises(ValueError, match=r"data\.validation=0\.1.*20 images"):
        load_training(DataConfig(dataset="mnist"), CPU, tmp_path)


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    everything, _ = load_training(DataConfig(dataset="digits"), CPU, hold_out=False)
    images = everything.normalised(everything.images)
    assert abs(images.mean().item()) < 1e-5
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("pixels", "low"), [("unit", 0.0), ("symmetric", -1.0)])
def test_pixels_can_be_given_as_they_were_published(pixels: str, low: float) -> None:
    config = data_config(dataset="digits", pixels=pixels)
    everything, _ = load_training(config, CPU, hold_out=False)
    test = load_test(config, CPU)
    for split in (everything, test):
        images = split.normalised(split.images)
        assert (images.min().item(), images.max().item()) == (low, 1.0)
    mean, std = (each.item() for each in load_statistics(config))
    assert (everything.mean.item(), everything.std.item()) == (mean, std)
    standard, _ = load_training(data_config(dataset="digits"), CPU, hold_out=False)
    assert standard.mean.item() != mean, "the split that is kept for the next trial is not taken for this one"


def test_only_bytes_have_a_range_that_is_known(tmp_path: Path) -> None:
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((40, 1, 8, 8), np.float32), y=np.arange(40) % 2)
    config = data_config(dataset="arrays", size=[8, 8], classes=2, pixels="symmetric")
    with pytest.raises(ValueError, match=r"data\.pixels=symmetric needs images of bytes"):
        load_training(config, CPU, tmp_path)


def test_batches_are_whole_shuffled_anew_each_epoch_and_the_same_for_the_same_seed() -> None:
    split, _ = load_training(DataConfig(dataset="digits"), CPU)

    def labels(seed: int, epoch: int) -> torch.Tensor:
        return torch.cat([labels for _, labels in training_batches(split, 100, "none", seed, epoch)])

    assert len(split) == 1293 and steps_per_epoch(len(split), 100) == 12
    assert {len(batch) for _, batch in training_batches(split, 100, "none", 0, 0)} == {100}
    assert torch.equal(labels(0, 3), labels(0, 3))
    assert not torch.equal(labels(0, 3), labels(0, 4))
    assert not torch.equal(labels(0, 3), labels(1, 3))
    images, _ = next(training_batches(split, 100, "none", 0, 0))
    known = {image.numpy().tobytes() for image in split.normalised(split.images)}
    assert len({image.numpy().tobytes() for image in images} & known) == len({i.numpy().tobytes() for i in images})


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    split, _ = load_training(DataConfig(dataset="digits"), CPU)
    batches = list(training_batches(split, 65536, "none", 0, 0))
    assert [len(labels) for _, labels in batches] == [len(split)]


def test_evaluation_serves_every_image_once_in_order() -> None:
    split = load_test(DataConfig(dataset="digits"), CPU)
    images, labels = (torch.cat(parts) for parts in zip(*evaluation_batches(split, 100), strict=True))
    assert torch.equal(labels, split.labels)
    assert torch.equal(images, split.normalised(split.images))


def test_training_batches_are_augmented_and_evaluation_is_not() -> None:
    split, _ = load_training(DataConfig(dataset="digits"), CPU)
    plain, _ = next(training_batches(split, 200, "none", 0, 0))
    augmented, _ = next(training_batches(split, 200, "crop_flip", 0, 0))
    changed = (plain != augmented).flatten(1).any(1).float().mean()
    assert changed > 0.8
    known = {image.numpy().tobytes() for image in split.normalised(split.images)}
    assert all(image.numpy().tobytes() in known for batch, _ in evaluation_batches(split, 200) for image in batch)


def test_crop_flip_shifts_by_up_to_an_eighth_and_mirrors_half() -> None:
    images = torch.zeros(4000, 2, 16, 16, dtype=torch.uint8)
    images[:, 0, 8, 5] = 1
    images[:, 1, 8, 5] = 2
    out, _ = crop_flip(images, None, torch.Generator().manual_seed(0))
    assert out.dtype == torch.uint8 and out.shape == images.shape
    assert torch.equal(out[:, 1], 2 * out[:, 0])
    place = out[:, 0].flatten(1).argmax(1)
    rows, columns = place // 16, place % 16
    assert set(rows.tolist()) == set(range(6, 11))
    assert set(columns.tolist()) == set(range(3, 8)) | set(range(8, 13))
    assert 0.45 < (columns >= 8).float().mean().item() < 0.55
