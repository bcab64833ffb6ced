"""`compare`: two trained models on the same test images, image by image, with their seeds as pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError
from kansearch.study.paired import mcnemar, paired

if TYPE_CHECKING:
    from trials.saved import Answers

__all__ = ["compare"]


def compare(first: Path, second: Path, data_dir: Path | None = None) -> dict[str, Any]:
    """Measure both on the test split and compare them image by image.

    Args:
        first: a folder of `retrain` or `compress`, or one seed's.
        second: another one, with a model of the same data set.
        data_dir: where to look for the data set first.

    Returns:
        `dataset`, `images`, `models` (folder and accuracy of each), `difference` (first minus second), `interval`
        (halves of its 95 % intervals over `seeds`, `images` and `both`; None with fewer than three pairs), and `pairs`:
        the seeds, how many images each alone gets right, and the p-value of McNemar's exact test.

    Raises:
        InputError: the test images differ, or no seed is in both folders.
        KansearchError: there is no model, one has a class for each pixel, or the data is missing or damaged.
    """
    from trials.data.errors import DataError
    from trials.saved import ModelError, answer_test

    try:
        found = [[answer_test(place, data_dir) for place in _models(folder)] for folder in (first, second)]
    except (ModelError, DataError) as error:
        raise KansearchError(str(error)) from error
    a, b = ({each.config.seed: each for each in side} for side in found)
    pairs = _pairs(first, second, a, b)
    _check_images(first, second, pairs[0])
    result = paired([a.right for a, _ in pairs], [b.right for _, b in pairs])
    sums = [float(sum(each[side].right.mean() for each in pairs)) for side in (0, 1)]
    return {
        "dataset": pairs[0][0].config.data.dataset,
        "images": len(pairs[0][0].right),
        "models": [
            {"folder": str(folder), "accuracy": total / len(pairs)}
            for folder, total in zip((first, second), sums, strict=True)
        ],
        "difference": result.difference,
        "interval": {name: value for name, value in asdict(result).items() if name != "difference"},
        "pairs": [_pair(*each) for each in pairs],
    }


def _models(folder: Path) -> list[Path]:
    """List each seed's folder in `folder`, by number; else `folder` itself, where it is a model or no seed has one.

    Where there is no model, `answer_test` says what is wrong with the folder.
    """
    seeds = [path.parent for path in folder.glob("seed-*/model.json")]
    whole = (folder / "model.json").exists() or not seeds
    return [folder] if whole else sorted(seeds, key=lambda path: (len(path.name), path.name))


def _pairs(first: Path, second: Path, a: dict[int, Answers], b: dict[int, Answers]) -> list[tuple[Answers, Answers]]:
    """Pair the answers by seed. Two single models are a pair even if their seeds differ. Raises InputError."""
    if len(a) == len(b) == 1:
        return [(next(iter(a.values())), next(iter(b.values())))]
    common = sorted(a.keys() & b.keys())
    if not common:
        seeds = [", ".join(map(str, sorted(each))) for each in (a, b)]
        raise InputError(
            f"no seed is in both: {first} has {seeds[0]}, {second} has {seeds[1]}; name one seed's folder of each, "
            "such as DIR/seed-0"
        )
    return [(a[seed], b[seed]) for seed in common]


def _check_images(first: Path, second: Path, pair: tuple[Answers, Answers]) -> None:
    """One pair tells: the seeds of a folder have one configuration."""
    if pair[0].sha256 != pair[1].sha256:
        told = [f"{each.config.data.dataset}, {len(each.right):,} images" for each in pair]
        raise InputError(
            f"the test images of {first} ({told[0]}) are not those of {second} ({told[1]}): only models of the same "
            "images, of the same size and in the same split, can be compared image by image"
        )


def _pair(first: Answers, second: Answers) -> dict[str, Any]:
    alone = int((first.right & ~second.right).sum()), int((second.right & ~first.right).sum())
    return {
        "seeds": [first.config.seed, second.config.seed],
        "first_alone": alone[0],
        "second_alone": alone[1],
        "p": mcnemar(*alone),
    }
