"""`export` and `retrain`: from a study to a configuration, and from that or a preset to a trained model."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from kansearch.commands.common import console_for, print_json
from kansearch.commands.progress import SeedsDisplay
from kansearch.console import per_class
from kansearch.errors import InputError, SearchInterrupted
from kansearch.models import portable
from kansearch.models.presets import preset_config
from kansearch.seeds.card import no_interval
from kansearch.seeds.retraining import Retraining
from kansearch.space import load_config, load_source
from kansearch.study.figures import number as written
from kansearch.study.study import Study
from kansearch.tracking.retrainings import log_trained, writer_of
from trials.config import TrialConfig
from trials.metrics import METRICS, is_dense

__all__ = ["config_of", "retraining_of", "run_export", "run_retrain", "source_of"]

_NUMBERS = {name: each.short.removeprefix("validation ") for name, each in METRICS.items() if each.regression}
_PARTS, _FREEZES = ("all", "training"), ("none", "features")


def run_export(study: Study, output: Path, data_dir: Path | None, **choice: Any) -> None:
    """`choice` is what `kansearch.models.pick.pick_trial` takes."""
    from kansearch.models.export import export
    from kansearch.models.pick import pick_trial

    record = pick_trial(study, **choice)
    export(study, record, output, data_dir)
    print(f"trial {record.number} of {study.name} written to {output}")


def config_of(path: Path | None, preset: str | None, dataset: str | None) -> TrialConfig:
    """Return the configuration to train: a file's, or a preset's. Raises InputError."""
    if (path is None) == (preset is None):
        raise InputError("give either a file that `kansearch export` wrote, or --preset NAME")
    if preset is not None:
        return preset_config(preset, dataset)
    if dataset is not None:
        raise InputError("--dataset goes with --preset; a file names its data set itself, under config.data")
    assert path is not None
    return load_config(path)


def source_of(path: Path | None, preset: str | None) -> dict[str, Any]:
    """Return where the configuration comes from."""
    return {"preset": preset} if path is None else load_source(path)


def retraining_of(
    config: TrialConfig,
    source: Mapping[str, Any],
    output: Path,
    seeds: int,
    part: str,
    processes: int,
    address: str | None,
    start: Path | None,
    freeze: str,
    data_dir: Path | None,
    trusted: tuple[str, ...],
) -> Retraining:
    """Return the retraining that the options mean.

    Raises InputError, and KansearchError where it can't start from `start`.
    """
    for option, value, known in (("--data", part, _PARTS), ("--freeze", freeze, _FREEZES)):
        if value not in known:
            raise InputError(f"{option} {value}: must be one of {', '.join(known)}")
    if start is not None:
        from kansearch.models.start import started_from

        config = started_from(config, start, freeze)
    elif freeze != "none":
        raise InputError(f"--freeze {freeze} goes with --from DIR, whose features are to stay")
    hold_out = part == "training"
    return Retraining(config, output, seeds, data_dir, hold_out, processes, address, source, trusted)


def run_retrain(
    retraining: Retraining, home: Path, tracking_uri: str | None, export: str, register: str | None, as_json: bool
) -> None:
    """Train, write what was asked for, and tell the user."""
    from kansearch.models.start import check_start
    from kansearch.seeds.retrain import retrain

    formats = portable.formats_of(export)
    console, out = console_for(as_json), retraining.out
    if (note := check_start(retraining.config)) is not None:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    writer, tracking_uri = writer_of(retraining, home, tracking_uri)
    with _one_line_on_signals(f"the same command goes on with what is in {out}"):
        metrics = retrain(retraining, [SeedsDisplay(console), writer])
    files = portable.write(out, formats)
    uri, problem = log_trained(writer, tracking_uri, out, register)
    if problem is not None:
        console.print(problem, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print_json(metrics)
        return
    _tell(console, retraining, metrics)
    for path in files:
        console.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)
    if register is not None:
        console.print(f"registered: {uri}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"written to {out}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _one_line_on_signals(way_on: str) -> Iterator[None]:
    """Raise SearchInterrupted when SIGINT or SIGTERM comes; while that is being done, another one ends the process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    caught = [int(signal.SIGINT)]

    def stop(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        restore()
        raise KeyboardInterrupt

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        name = signal.Signals(caught[-1]).name
        raise SearchInterrupted(f"stopped by {name}; {way_on}", 128 + caught[-1]) from None
    finally:
        restore()


def _tell(console: Console, retraining: Retraining, metrics: Mapping[str, Any]) -> None:
    if "nrmse" in metrics:
        _tell_numbers(console, retraining, metrics)
        return
    dense, seeds = is_dense(metrics), retraining.seeds
    second = f"mean IoU {metrics['mean_iou']:.4f}" if dense else f"macro F1 {metrics['f1']:.4f}"
    spread = f" ± {metrics['interval']['accuracy']:.4f} (95 %)" if metrics["interval"] else ""
    figures = f"accuracy {metrics['accuracy']:.4f}{spread}, {second}, {metrics['parameters']:,} parameters"
    console.print(f"test split, {seeds} {'seed' if seeds == 1 else 'seeds'}: {figures}", highlight=False)
    if not metrics["interval"]:
        console.print(no_interval(seeds), highlight=False)
    if metrics["accuracy_sampling"] is not None:
        sampling = f"± {metrics['accuracy_sampling']:.4f} (95 %)"
        console.print(f"test sampling: other test images may move the accuracy by {sampling}", highlight=False)
    console.print(
        f"{'IoU' if dense else 'accuracy'} of each class: {per_class(metrics['runs'])}", highlight=False, soft_wrap=True
    )


def _tell_numbers(console: Console, retraining: Retraining, metrics: Mapping[str, Any]) -> None:
    seeds, interval = retraining.seeds, metrics["interval"] or {}
    spread = {name: f" ± {written(name, interval[name])} (95 %)" if name in interval else "" for name in _NUMBERS}
    known = [name for name in _NUMBERS if name in metrics]
    figures = ", ".join(f"{_NUMBERS[name]} {written(name, metrics[name])}{spread[name]}" for name in known)
    counted = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
    console.print(f"test split, {counted}: {figures}, {metrics['parameters']:,} parameters", highlight=False)
    if not interval:
        console.print(no_interval(seeds), highlight=False)
