"""Each data set's reader, on small files in its own format: what was written is read, what is wrong is named."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from kansearch.errors import SpaceError
from kansearch.space import parse_space
from tests.datafiles import (
    CIFAR,
    data_config,
    write_arrays,
    write_cifar,
    write_folder,
    write_idx,
    write_image,
    write_segmentation,
)
from trials.config import DataConfig, DatasetConfig, TrialConfig
from trials.data import cifar, decode, files, folders, functions, splits
from trials.data.datasets import DATASETS, data_shape, read, training_images
from trials.data.errors import DataError, DataFileError, DataMissingError
from trials.data.files import LAYOUTS, locate
from trials.data.idx import read_idx
from trials.data.mnist import EMNIST
from trials.data.splits import load_test, load_training
from trials.data.tables.known import KNOWN
from trials.training.run import run_trial

CPU = torch.device("cpu")
ROWS = {"table", *KNOWN, "special", "feynman", "formula"}
"""Data sets of rows of numbers, which have tests of their own."""


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, no data set of the system and a network that is down; nothing remembered, and nothing trusted."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KANSEARCH_DATA", raising=False)
    monkeypatch.setattr(files, "_SYSTEM", {})
    monkeypatch.setattr(files, "_download", lambda dataset: "no network")
    monkeypatch.setattr(splits, "_READ", {})
    monkeypatch.setattr(functions, "_TRUSTED", set())
    folders._count.cache_clear()


def read_from(config: DataConfig, root: Path) -> Any:
    return read(config, locate(config.source, root))


def test_every_name_has_a_configuration_a_shape_and_a_place() -> None:
    needed = {"image_size": 8, "classes": 3, "size": [8, 8], "function": "a:b", "samples": 30}
    for name in DATASETS.keys() - ROWS:
        accepted = [field for field in needed if field in _member(name).model_fields]
        config = data_config(dataset=name, **{field: needed[field] for field in accepted})
        assert data_shape(config).classes >= 2 and training_images(config) >= 20
        assert config.source in LAYOUTS or name in ("digits", "synthetic", "function")
        if config.source in LAYOUTS:
            with pytest.raises(DataMissingError, match=r"--data-dir or \$KANSEARCH_DATA"):
                locate(config.source)


def _member(name: str) -> type[DataConfig]:
    """The configuration of a data set, out of the union."""
    members = get_args(get_args(DatasetConfig)[0])
    return next(each for each in members if name in get_args(each.model_fields["dataset"].annotation))


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.fetched])
def test_what_is_downloaded_is_found_then(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(dataset: str) -> None:
        folder = files.cache_folder() / str(LAYOUTS[dataset].fetched)
        for path in LAYOUTS[dataset].alternatives[-1]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).mkdir() if path.endswith("/") else (folder / path).touch()

    monkeypatch.setattr(files, "_download", download)
    first = locate(name)
    monkeypatch.setattr(files, "_download", lambda dataset: pytest.fail("downloaded again"))
    assert locate(name) == first and first is not None and first.is_relative_to(tmp_path / "home")


def test_files_have_the_names_that_torchvision_gives_them() -> None:
    for name, theirs in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        layout = LAYOUTS[name]
        assert {*layout.alternatives[-1]} == {file for file, _ in (*theirs.train_list, *theirs.test_list)}
        assert str(layout.fetched).endswith(f"/{theirs.base_folder}")
    assert LAYOUTS["svhn"].alternatives[0] == tuple(datasets.SVHN.split_list[each][1] for each in ("train", "test"))
    assert {f"emnist_{split}" for split in datasets.EMNIST.splits} == {n for n in LAYOUTS if n.startswith("emnist_")}
    for split, names in datasets.EMNIST.classes_split_dict.items():
        assert EMNIST[split][0] == len(names) - ("N/A" in names)


def test_a_download_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", refuse)
    assert files._download("tiny_imagenet") == "no route to host"


# -- EMNIST, SVHN, CIFAR ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["letters", "balanced"])
def test_emnist_is_stood_upright_and_letters_count_from_0(split: str, tmp_path: Path) -> None:
    config = data_config(dataset="emnist", split=split)
    names = LAYOUTS[config.source].alternatives[0]
    folder = write_idx(tmp_path / "gzip", names, compress=True, first=int(split == "letters"))
    training, test = read_from(config, tmp_path)
    raw = files.idx_file(folder, names[0])
    assert raw is not None
    lying = read_idx(raw, 3)
    assert np.array_equal(training.images[3, 0], lying[3].T)
    assert set(training.labels) == set(test.labels) == set(range(10))
    assert data_shape(config).classes == EMNIST[split][0]


def test_svhn_calls_the_digit_0_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (32, 32, 3, 30), dtype=np.uint8)
    y = (np.arange(30) % 10 + 1).astype(np.uint8)[:, None]
    for name in ("train_32x32.mat", "test_32x32.mat"):
        savemat(tmp_path / name, {"X": x, "y": y})
    training, _ = read_from(data_config(dataset="svhn"), tmp_path)
    assert np.array_equal(training.images[4], x[..., 4].transpose(2, 0, 1))
    assert training.labels[9] == 0 and training.labels[0] == 1
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataFileError, match=r"train_32x32\.mat: not a readable"):
        read_from(data_config(dataset="svhn"), tmp_path)


@pytest.mark.parametrize("dataset", CIFAR)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "pickled"])
def test_cifar_is_read_from_either_version(dataset: str, binary: bool, tmp_path: Path) -> None:
    pixels = write_cifar(tmp_path / dataset, dataset, binary)
    training, test = read_from(data_config(dataset=dataset), tmp_path)
    read_back = np.concatenate([training.images, test.images]).reshape(-1, 3072)
    assert np.array_equal(read_back, pixels)
    assert len(test) == 20 and training.labels[:11].tolist() == [*range(10), 0]


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """An array of two bytes as the published files hold theirs: texts without an encoding, numpy's old names."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02}(U\x04data" + array + b"(K\x01(K\x02t" + dtype + b"\x89U\x02abtbu.")
    content = cifar._unpickle(path)
    assert list(content) == [b"data"] and content[b"data"].tolist() == [97, 98]


class Exploit:
    """Pickled as a call of anything."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Exploit(os.system, ("touch exploited",)), r"holds posix\.system"),
        (Exploit(eval, ("open('exploited', 'w')",)), r"holds \w+\.eval"),
        (Exploit(np.ndarray, ((1,), "O", bytearray(8))), r"holds \w+\.bytearray"),
        (Exploit(np.ndarray, ((1,), "O", b"00000000")), "'str' object is not callable"),
        (np.array([print], object), "values of type object"),
    ],
    ids=["system", "eval", "bytearray", "pointers", "objects"],
)
def test_a_pickle_that_holds_code_is_refused_and_nothing_runs(
    content: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path, "cifar10", binary=False)
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps({b"data": content}, protocol=2))
    with pytest.raises(DataFileError, match=f"data_batch_3: .*({reason})"):
        read_from(data_config(dataset="cifar10"), tmp_path)
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("test_batch", b"\x80\x02}q", "not a readable pickle"),
        ("test_batch", pickle.dumps([1]), "not a batch"),
        ("test_batch", pickle.dumps({b"labels": [0]}), "has no data"),
        ("test_batch", pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, 2), "3072"),
        ("data_batch_2", pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0, 1]}, 2), "2 labels"),
        ("data_batch_2", pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, 2), "label 10"),
    ],
)
def test_a_wrong_file_of_cifar_is_named(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10", binary=False)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError, match=f"{name}: .*{reason}"):
        read_from(data_config(dataset="cifar10"), tmp_path)


def test_a_truncated_binary_file_of_cifar_is_named(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar100", binary=True)
    with (tmp_path / "train.bin").open("ab") as file:
        file.truncate(5000)
    with pytest.raises(DataFileError, match=r"train\.bin: 5000 bytes.*3074"):
        read_from(data_config(dataset="cifar100"), tmp_path)


# -- folders of images -----------------------------------------------------------------------------------------------


def folder_config(**fields: Any) -> DataConfig:
    return data_config(**{"dataset": "imagefolder", "image_size": 8, "classes": 2, **fields})


@pytest.mark.parametrize("held", ["test", "val"])
def test_a_folder_for_each_class_is_decoded_once(held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "images", held=held)
    config = folder_config()
    training, test = read_from(config, root)
    assert training.images.shape == (24, 3, 8, 8) and len(test) == 6
    assert training.labels.tolist() == [0] * 12 + [1] * 12
    assert set(training.images[training.labels == 1].ravel()) == set(range(40, 52))
    assert training_images(config, root) == 24
    monkeypatch.setattr(decode, "_in_order", lambda *args: pytest.fail("decoded again"))
    again, _ = read_from(config, root)
    assert np.array_equal(again.images, training.images)
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_image(root / "train" / "cat" / "0.png", np.full((9, 9, 3), 200, np.uint8))
    changed, _ = read_from(config, root)
    assert changed.images[0].min() == 200 and np.array_equal(changed.images[12:], training.images[12:])


def test_images_are_scaled_by_their_shorter_side_and_cropped_to_the_middle(tmp_path: Path) -> None:
    pixels = np.zeros((16, 40, 3), np.uint8)
    pixels[:, 12:28] = 255  # the middle square is white
    image = decode.decode_image(write_image(tmp_path / "wide.png", pixels), 4, 3)
    assert image.shape == (3, 4, 4) and image.min() > 200  # its border is blended with what is beside it
    grey = decode.decode_image(tmp_path / "wide.png", 4, 1)
    assert grey.shape == (1, 4, 4) and grey.min() > 200


@pytest.mark.parametrize(
    ("wrong", "fields", "reason"),
    [
        (lambda root: (root / "train/dog/3.png").write_bytes(b"\x89PNG nothing"), {}, r"dog/3\.png: not a readable"),
        (lambda root: truncate(root / "train/cat/2.png"), {}, r"cat/2\.png: not a readable"),
        (lambda root: (root / "train/bird").mkdir(), {"classes": 3}, r"train/bird: no images"),
        (lambda root: (root / "test/bird").mkdir(), {}, r"test/bird: a class that is not in .*train"),
        (
            lambda root: [(root / "test" / each).rename(root / each) for each in ("cat", "dog")],
            {},
            "test: no folder of",
        ),
        (lambda root: None, {"classes": 5}, r"train: 2 folders where data\.classes=5"),
        (lambda root: deep(root / "train/cat/1.png"), {}, r"cat/1\.png: an image of mode I;16"),
    ],
)
def test_what_is_wrong_in_a_folder_is_named(wrong: Any, fields: Any, reason: str, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images")
    wrong(root)
    with pytest.raises(DataFileError, match=reason):
        read_from(folder_config(**fields), root)


def truncate(path: Path) -> None:
    rng = np.random.default_rng(0)
    write_image(path, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:700])


def deep(path: Path) -> None:
    write_image(path, np.zeros((8, 8), np.uint16))


def test_a_disk_too_small_for_decoded_images_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    with pytest.raises(DataError, match=r"GiB are needed.*data\.image_size"):
        read_from(folder_config(), write_folder(tmp_path / "images"))


def test_tiny_imagenet_is_read_as_it_is_distributed(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    names = [f"n{index:08}" for index in range(200)]
    for label, name in enumerate(names):
        write_image(root / "train" / name / "images" / f"{name}_0.JPEG", np.full((64, 64, 3), label, np.uint8))
    write_image(root / "val" / "images" / "val_0.JPEG", np.full((64, 64, 3), 7, np.uint8))
    (root / "wnids.txt").write_text("\n".join(names))
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text(f"val_0.JPEG\t{names[7]}\t0\t0\t62\t62\n")
    training, test = read_from(data_config(dataset="tiny_imagenet"), tmp_path)
    assert training.images.shape == (200, 3, 64, 64) and test.labels.tolist() == [7]
    assert np.abs(training.images[:, 0, 0, 0].astype(int) - training.labels).max() <= 2  # JPEG
    annotations.write_text("val_0.JPEG\tn123\n")
    with pytest.raises(DataFileError, match=r"val_annotations\.txt: a line with .*n123"):
        read_from(data_config(dataset="tiny_imagenet"), tmp_path)


# -- segmentation ----------------------------------------------------------------------------------------------------


def test_masks_belong_to_their_images(tmp_path: Path) -> None:
    config = data_config(dataset="segmentation", image_size=12, classes=3)
    root = write_segmentation(tmp_path / "scenes")
    training, held_out = load_training(config, CPU, root)
    assert held_out is not None and (len(training), len(held_out), len(load_test(config, CPU, root))) == (21, 3, 6)
    assert training.labels.dtype == torch.uint8 and training.labels.shape == (21, 12, 12)
    known = training.labels != 255
    assert torch.equal(training.images[:, 0][known], 50 * training.labels[known])
    assert data_shape(config).dense and training_images(config, root) == 24


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda root: (root / "train/masks/004.png").unlink(), r"images/004\.png: has no mask .*masks/004\.png"),
        (lambda root: (root / "train/images/004.png").unlink(), r"train: 24 masks for 23 images"),
        (lambda root: write_image(root / "test/masks/001.png", np.full((12, 16), 3, np.uint8)), r"001\.png: class 3"),
        (
            lambda root: write_image(root / "test/masks/001.png", np.zeros((12, 9), np.uint8)),
            r"001\.png: 9x12 ",
        ),
        (lambda root: write_image(root / "test/masks/001.png", np.zeros((12, 16, 3), np.uint8)), r"001\.png: .* RGB"),
    ],
)
def test_what_is_wrong_with_masks_is_named(wrong: Any, reason: str, tmp_path: Path) -> None:
    root = write_segmentation(tmp_path / "scenes")
    wrong(root)
    with pytest.raises(DataFileError, match=reason):
        read_from(data_config(dataset="segmentation", image_size=12, classes=3), root)


# -- arrays, functions, synthetic ------------------------------------------------------------------------------------


def signals(count: int = 60, dtype: type = np.float32) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two channels of 32 values, a sine of one of three frequencies and its double."""
    y = np.arange(count) % 3
    x = np.sin((1 + y)[:, None] * np.linspace(0, 6, 32)) * 40 + 60
    return np.stack([x, 2 * x], 1).astype(dtype), y


def array_config(**fields: Any) -> DataConfig:
    return data_config(**{"dataset": "arrays", "size": [32], "channels": 2, "classes": 3, **fields})


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_users_bring_signals_and_train_on_them(dtype: type, tmp_path: Path) -> None:
    root = write_arrays(tmp_path, *signals(dtype=dtype))
    config = array_config(batch_size=16, augment="shift_scale")
    split, _ = load_training(config, CPU, root, hold_out=False)
    values = split.normalised(split.images)
    torch.testing.assert_close(values.mean((0, 2)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std((0, 2), correction=0), torch.ones(2), atol=0.3, rtol=0)
    assert training_images(config, root) == 60
    trial = {"model": {"depth": 1, "width": 4, "basis": {"name": "rbf", "grid_size": 3}}, "epochs": 1}
    whole = TrialConfig.model_validate({"data": config.model_dump(mode="json"), **trial})
    (result,) = run_trial(whole, data_dir=root, device="cpu")
    assert np.isfinite(result.train_loss)


def test_grey_images_need_no_channel(tmp_path: Path) -> None:
    x = np.zeros((30, 6, 5), np.uint8)
    root = write_arrays(tmp_path, x, np.arange(30) % 3)
    training, _ = read_from(array_config(size=[6, 5], channels=1), root)
    assert training.images.shape == (30, 1, 6, 5)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.zeros((30, 2, 31), np.float32), np.zeros(30, int), r"x is \(30, 2, 31\); .*\(N, 2, 32\)"),
        (np.zeros((30, 2, 32), np.float64), np.zeros(30, int), "x is float64; uint8 or float32"),
        (np.full((30, 2, 32), np.nan, np.float32), np.zeros(30, int), "not finite"),
        (np.zeros((30, 2, 32), np.float32), np.zeros(29, int), r"y is int64 \(29,\)"),
        (np.zeros((30, 2, 32), np.float32), np.zeros(30), r"y is float64"),
        (np.zeros((30, 2, 32), np.float32), np.full(30, 3), "label 3 where 0 to 2"),
        (np.zeros((30, 2, 32), np.float32), np.arange(30) % 2, "nothing of class 2, though there are 3"),
        (np.zeros((0, 2, 32), np.float32), np.zeros(0, int), "no samples"),
        (np.array([{}, []], object), np.zeros(2, int), "not a readable .npz file: Object arrays"),
    ],
)
def test_arrays_that_are_not_what_is_said_are_named(x: Any, y: Any, reason: str, tmp_path: Path) -> None:
    root = write_arrays(tmp_path, x, y)
    with pytest.raises(DataFileError, match=rf"train\.npz: .*{reason}"):
        read_from(array_config(), root)


def test_a_file_that_is_no_npz_or_lacks_an_array_is_named(tmp_path: Path) -> None:
    root = write_arrays(tmp_path, *signals())
    np.savez(root / "test.npz", x=signals()[0])
    with pytest.raises(DataFileError, match=r"test\.npz: has no array y"):
        read_from(array_config(), root)
    (root / "train.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataFileError, match=r"train\.npz: not a readable"):
        read_from(array_config(), root)
    with pytest.raises(DataFileError, match=r"train\.npz: not a readable"):
        training_images(array_config(), root)


def test_the_number_of_samples_is_stated_or_counted_or_asked_for(tmp_path: Path) -> None:
    assert training_images(array_config(samples=500)) == 500
    assert training_images(array_config(samples=500), write_arrays(tmp_path, *signals())) == 60
    with pytest.raises(ValueError, match=r"data\.samples: .*state it, or name their folder"):
        training_images(array_config())


def function_config() -> DataConfig:
    return data_config(
        dataset="function", function="my_signals:make", size=[32], channels=2, classes=3, samples=60, batch_size=16
    )


def test_a_function_runs_only_where_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_signals")
    module.make = lambda folder: (signals(), signals(9))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_signals", module)
    with pytest.raises(DataError, match="--trust-data my_signals:make"):
        load_training(function_config(), CPU)
    functions.trust_data("my_signals:other")
    with pytest.raises(DataError, match="--trust-data my_signals:make"):
        load_training(function_config(), CPU)
    functions.trust_data("my_signals:make")
    split, _ = load_training(function_config(), CPU, hold_out=False)
    assert split.images.shape == (60, 2, 32) and len(load_test(function_config(), CPU)) == 9
    monkeypatch.delitem(sys.modules, "my_signals")
    monkeypatch.setattr(splits, "_READ", {})
    with pytest.raises(DataError, match="No module named 'my_signals'; is its module on PYTHONPATH"):
        load_training(function_config(), CPU)


@pytest.mark.parametrize("fields", [{}, {"size": [40], "channels": 2}, {"size": [8, 12], "dense": True}])
def test_synthetic_samples_follow_from_their_seed(fields: Any) -> None:
    config = data_config(dataset="synthetic", samples=200, **fields)
    shape = data_shape(config)
    training, test = read(config, None)
    again, _ = read(config, None)
    other, _ = read(config.model_copy(update={"make_seed": 1}), None)
    assert training.images.shape == (200, shape.channels, *shape.size) and len(test) == 50
    assert training.labels.shape == ((200, *shape.size) if shape.dense else (200,))
    assert set(np.unique(training.labels)) == set(range(shape.classes))
    assert np.array_equal(training.images, again.images) and not np.array_equal(training.images, other.images)


def test_synthetic_samples_can_be_learnt() -> None:
    data = {"dataset": "synthetic", "samples": 400, "noise": 1.0, "batch_size": 40}
    model = {"depth": 2, "width": 8, "halvings": 1, "basis": {"name": "rbf", "grid_size": 3}}
    optimizer = {"name": "adamw", "lr": 1e-2}
    config = TrialConfig.model_validate({"data": data, "model": model, "optimizer": optimizer, "epochs": 3})
    *_, last = run_trial(config, device="cpu")
    assert last.accuracy is not None and last.accuracy > 0.6  # of 4 classes


# -- search spaces ---------------------------------------------------------------------------------------------------


def test_a_space_names_open_data_sets_with_what_they_must_be_told() -> None:
    text = "study: s\ndata: {dataset: imagefolder, image_size: 64, classes: 10, batch_size: {choice: [8, 16]}}\n"
    assert parse_space(text, "f").data == data_config(dataset="imagefolder", image_size=64, classes=10)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{dataset: imagefolder, image_size: 64}", "f:2:7: data.classes: missing"),
        ("{dataset: emnist, split: leters}", "f:2:32: data.split: unknown value 'leters'; did you mean 'letters'?"),
        ("{dataset: emnist, split: {choice: [digits, letters]}}", "f:2:32: data.split: one study is one data set"),
        ("{dataset: digits, classes: 9}", "unknown key 'classes'; it belongs to 'data' where its dataset is"),
        (
            "{dataset: synthetic, size: [9], augment: crop_flip}",
            "crop_flip cannot vary signals; use shift_scale",
        ),
        ("{dataset: digits, augment: {choice: [none, shift_scale]}}", "shift_scale cannot vary images"),
        ("{dataset: synthetic, size: [9, 9, 9]}", "data.size: "),
        ("{dataset: function, function: os, size: [9], classes: 2, samples: 9}", "data.function: "),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said_with_its_place(data: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        parse_space(f"study: s\ndata: {data}\n", "f")
    assert message in str(caught.value)
