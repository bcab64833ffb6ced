"""`export` and `retrain`: from a study to a configuration, and from that or a preset to figures on the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kansearch.commands.common import console_for, print_json
from kansearch.console import (
    per_class,
)
from kansearch.deliver.presets import preset_config
from kansearch.errors import InputError, SearchInterrupted
from kansearch.space import load_config
from kansearch.study.study import Study
from trials.config import TrialConfig

__all__ = ["config_of", "run_export", "run_retrain"]


def run_export(study: Study, output: Path, data_dir: Path | None, **choice: Any) -> None:
    """`choice` is what `kansearch.deliver.pick.pick_trial` takes."""
    from kansearch.deliver.export import export
    from kansearch.deliver.pick import pick_trial

    record = pick_trial(study, **choice)
    export(study, record, output, data_dir)
    print(f"trial {record.number} of {study.name} written to {output}")


def config_of(path: Path | None, preset: str | None, dataset: str | None) -> TrialConfig:
    """What is to be trained: a file's configuration, or a preset's."""
    if (path is None) == (preset is None):
        raise InputError("give either a file that `kansearch export` wrote, or --preset NAME")
    if preset is not None:
        return preset_config(preset, dataset)
    if dataset is not None:
        raise InputError("--dataset goes with --preset; a file names its data set itself, under config.data")
    assert path is not None
    return load_config(path)


def run_retrain(
    config: TrialConfig, output: Path, epochs: int | None, seeds: int, data_dir: Path | None, as_json: bool
) -> None:
    from kansearch.deliver.retrain import retrain

    if epochs is not None:
        config = config.model_copy(update={"epochs": epochs})
    console = console_for(as_json)

    def progress(seed: int, result: dict[str, Any]) -> None:
        figures = f"train loss {result['train_loss']:.4f}, {result['images_per_second']:,.0f} images/s"
        console.print(f"seed {seed} epoch {result['epoch']}/{config.epochs}: {figures}", highlight=False)

    try:
        metrics = retrain(config, output, seeds, data_dir, progress)
    except KeyboardInterrupt:
        raise SearchInterrupted(f"interrupted; the same command goes on with what is in {output}", 130) from None
    if as_json:
        print_json(metrics)
        return
    dense = "mean_iou" in metrics
    second = f"mean IoU {metrics['mean_iou']:.4f}" if dense else f"macro F1 {metrics['f1']:.4f}"
    figures = f"accuracy {metrics['accuracy']:.4f}, {second}, {metrics['parameters']:,} parameters"
    console.print(f"test split, {seeds} {'seed' if seeds == 1 else 'seeds'}: {figures}", highlight=False)
    console.print(
        f"{'IoU' if dense else 'accuracy'} of each class: {per_class(metrics['runs'])}", highlight=False, soft_wrap=True
    )
    console.print(f"written to {output}", highlight=False, markup=False, soft_wrap=True)
