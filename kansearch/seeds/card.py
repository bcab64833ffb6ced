"""The model card: README.md in the folder of a retraining."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kansearch.cluster.session import processor
from kansearch.seeds.claim import versions
from kansearch.seeds.retraining import Retraining
from kansearch.study.figures import describe
from kansearch.study.spread import LEAST_SEEDS
from trials.config import RowsConfig
from trials.config.basis import is_control
from trials.files import write_whole
from trials.metrics import METRICS, ON_TEST, ON_VALIDATION, TEST_PREFIX, is_dense

__all__ = ["card", "no_interval", "write_card"]

_OTHERS = {
    "top5_accuracy": "top-5 accuracy",
    "dice": "Dice",
    "precision": "precision, macro",
    "recall": "recall, macro",
    "f1": "F1, macro",
    "roc_auc_ovo": "ROC AUC, one against one",
    "roc_auc_ovr": "ROC AUC, one against the rest",
    "calibration_error": "expected calibration error, 15 bins",
}
"""Figures of the test split that are no metrics of a search."""
_CONTROLS = {
    "none": "a plain network",
    "spline_activation": "a plain network with spline activations, a control",
    "power_mlp": "a PowerMLP network, a control",
}
_MOST_CLASSES = 100


def write_card(out: Path, retraining: Retraining, metrics: Mapping[str, Any]) -> None:
    """Write the card. Raises OSError, and ValueError where a file in the folder is damaged."""
    manifest = json.loads((out / f"seed-{retraining.numbers[0]}" / "model.json").read_text())
    write_whole(out / "README.md", card(retraining, metrics, manifest["classes"]))


def no_interval(seeds: int) -> str:
    """Why so few seeds have no interval."""
    return (
        f"No interval: {_plural(seeds, 'seed')} cannot tell how much others would differ; {LEAST_SEEDS} or more can "
        f"(--seeds {LEAST_SEEDS})."
    )


def card(retraining: Retraining, metrics: Mapping[str, Any], classes: Sequence[str]) -> str:
    """The text, in Markdown."""
    config, regression = retraining.config, "nrmse" in metrics
    sections = {
        f"{config.data.dataset}: {describe(config)}": _what(retraining, metrics),
        "Figures": _figures(metrics),
        **({"Targets": _targets(metrics["runs"])} if regression else {"Classes": _classes(metrics["runs"], classes)}),
        "Speed and hardware": _speed(metrics["runs"]),
        "Use": _use(retraining),
        "Train it again": _again(retraining),
        "Data": _data(retraining, metrics["runs"][0]),
        "Limits": _limits(retraining, metrics),
        "Licence": _licence(),
        "Configuration": _configuration(retraining),
    }
    first, *rest = sections.items()
    lines = [f"# {first[0]}", "", *first[1]]
    for title, content in rest:
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


def _what(retraining: Retraining, metrics: Mapping[str, Any]) -> Iterator[str]:
    config, source = retraining.config, retraining.source
    basis = config.model.basis.name
    kind = _CONTROLS[basis] if is_control(basis) else f"a KAN of basis `{basis}`"
    task = "classifies each pixel" if is_dense(metrics) else "classifies samples"
    if "nrmse" in metrics:
        task = "predicts numbers from rows"
    yield (
        f"A network that {task} of `{config.data.dataset}`: {kind} of family `{config.model.family}`, "
        f"{metrics['parameters']:,} trainable parameters, {metrics['flops']:,} FLOPs a sample, "
        f"{config.epochs} epochs. Trained by kansearch {versions()['kansearch']}."
    )
    if retraining.study is not None and "trial" in source:
        pick = f" (pick: {source['pick']})" if "pick" in source else ""
        yield f"\nFound by study `{retraining.study}`, trial {source['trial']}{pick}."
    if config.start.weights is not None:
        frozen = "; everything but the head stayed as it was" if config.start.freeze == "features" else ""
        yield f"\nTraining started from `{config.start.weights}`{frozen}."


def _figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A row for each figure, with its interval where there are seeds enough."""
    seeds, interval, regression = len(metrics["seeds"]), metrics["interval"], "nrmse" in metrics
    shown = "{:.4g}".format if regression else "{:.4f}".format
    yield f"On the test split, {metrics['images']:,} samples that no training has seen; {_plural(seeds, 'seed')}."
    yield "" if interval else f"{no_interval(seeds)}\n"
    columns = ["figure", *(["mean"] if seeds > 1 else ["value"]), *(["95 % interval"] if interval else [])]
    columns += ["seeds"] if seeds > 1 else []
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for name, label in _words():
        if metrics.get(name) is None:
            continue
        words = label.replace(" (nats)", "") if regression else label
        row = [words, shown(metrics[name]), *([f"± {shown(interval[name])}"] if interval else [])]
        row += [", ".join(shown(run[name]) for run in metrics["runs"])] if seeds > 1 else []
        yield f"| {' | '.join(row)} |"
    if interval:
        yield "\nThe interval is that of the mean, by Student's t; the seeds vary weights, batches and augmentation."
    if metrics["accuracy_sampling"] is not None:
        yield (
            f"\nOther test samples may move the accuracy by ± {metrics['accuracy_sampling']:.4f} (95 %, Wilson's "
            f"interval of {metrics['images']:,} samples), which an interval over seeds does not hold."
        )
    second = "![predicted and true values](predictions.png)" if regression else "![confusion matrix](confusion.png)"
    yield f"\n![training curves](curves.png)\n{second}"


def _targets(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each target, in its own units."""
    names = [name for name, metric in METRICS.items() if metric.regression]
    titles = [METRICS[name].short.removeprefix("validation ") for name in names]
    yield f"| target | {' | '.join(titles)} |\n|---{'|---' * len(names)}|"
    for rows in zip(*(run["per_target"] for run in runs), strict=True):
        known = [[row[name] for row in rows] for name in names]
        cells = ["-" if None in values else f"{statistics.fmean(values):.4g}" for values in known]
        yield f"| {_cell(rows[0]['target'])} | {' | '.join(cells)} |"


def _words() -> Iterator[tuple[str, str]]:
    """Names of figures, and how a table of the test split writes them."""
    for name, on_test in ON_TEST.items():
        yield on_test.removeprefix(TEST_PREFIX), str(METRICS[name].test_label).removeprefix("test ")
    yield from _OTHERS.items()
    for name, validated in ON_VALIDATION.items():
        yield validated, METRICS[name].label


def _classes(runs: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Iterator[str]:
    if "per_class" not in runs[0]:
        yield "| class | IoU |\n|---|---|"
        for name, *each in zip(classes, *(run["per_class_iou"] for run in runs), strict=True):
            yield f"| {_cell(name)} | {'-' if None in each else f'{statistics.fmean(each):.4f}'} |"
        return
    yield "| class | precision | recall | F1 | samples |\n|---|---|---|---|---|"
    rows = list(zip(classes, *(run["per_class"] for run in runs), strict=True))
    for name, *each in rows[:_MOST_CLASSES]:
        rates = " | ".join(f"{statistics.fmean(row[key] for row in each):.4f}" for key in ("precision", "recall", "f1"))
        yield f"| {_cell(name)} | {rates} | {each[0]['support']} |"
    if len(rows) > _MOST_CLASSES:
        yield f"\n{len(rows) - _MOST_CLASSES} more classes: `metrics.json`."


def _speed(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    timing = [run["timing"] for run in runs]
    inference = timing[0]["inference"]
    rate = statistics.median(each["inference"]["images_per_second"] for each in timing)
    threads = f", {_plural(inference['threads'], 'thread')}" if inference["device"] == "cpu" else ""
    device = processor() if inference["device"] == "cpu" else inference["device"]
    where = f"{device}{threads}, {inference['precision']}, batches of {inference['batch']}"
    yield f"- inference: {rate:,.0f} samples/s ({where})"
    training = statistics.median(each["training_images_per_second"] for each in timing)
    seconds = statistics.fmean(each["training_seconds"] for each in timing)
    yield f"- training: {training:,.0f} samples/s, {seconds:,.0f} s a seed, {timing[0]['peak_memory_mib']:,.0f} MiB"
    yield f"- versions: {', '.join(f'{name} {version}' for name, version in versions().items())}"


def _use(retraining: Retraining) -> list[str]:
    if isinstance(retraining.config.data, RowsConfig):
        return ["```sh", "kansearch predict DIR ROWS.csv -o PREDICTED.csv", "```"]
    return [
        "```python",
        "from trials import load_model",
        "",
        'model, config = load_model("DIR")  # this folder: its first seed; or DIR/seed-<n>',
        "logits = model(samples)  # (N, C, *size); of images: pixels from 0 to 255",
        "```",
        "",
        "```sh",
        "kansearch predict DIR IMAGES...",
        "```",
    ]


def _again(retraining: Retraining) -> list[str]:
    options = [f"--seeds {retraining.seeds}"] if retraining.seeds > 1 else []
    options += ["--data training"] if retraining.hold_out else []
    options += [f"--gpus {retraining.processes}"] if retraining.processes > 1 else []
    command = " ".join(["kansearch retrain config.yaml", *options, "-o OTHER_DIR"])
    return ["```sh", command, "```", "", "The same versions on the same device give the same figures, but for times."]


def _data(retraining: Retraining, run: Mapping[str, Any]) -> Iterator[str]:
    data = retraining.config.data
    part = f"the training split less {data.validation:.0%} (seed {data.split_seed})" if retraining.hold_out else None
    batches = f"{data.batch_size}"
    if retraining.config.accumulate > 1:
        batches += f", {retraining.config.accumulate} of them to a step"
    yield f"`{data.dataset}`, trained on {part or 'the whole training split'}, in batches of {batches}."
    if run["data"]["sha256"] is not None:
        yield f"\nSHA-256 of its samples and labels: `{run['data']['sha256']}`."
    searched = retraining.source.get("data")
    known = searched.get("sha256") if isinstance(searched, Mapping) else None
    if known is not None and known != run["data"]["sha256"]:
        yield "\nThe search that found the configuration had other data: its checksum differs."


def _limits(retraining: Retraining, metrics: Mapping[str, Any]) -> Iterator[str]:
    shape = "samples of that size and kind"
    yield f"- It was measured on `{retraining.config.data.dataset}` alone: {shape}, and no others, are what it is for."
    if "nrmse" in metrics:
        yield "- Rows outside the range of the inputs that it has seen are given a number all the same."
    else:
        yield "- Its probabilities are not calibrated beyond what the calibration error above says."
        yield "- A sample of none of its classes is given one of them all the same."
    if retraining.study is not None:
        seed = retraining.config.seed
        yield (
            "- The configuration was chosen by a search, on the validation part of the training split, as it was "
            f"trained with seed {seed}; `kansearch confirm` measures it with others alone."
        )
    if retraining.processes > 1:
        yield (
            f"- Trained by {retraining.processes} processes, each with its part of every batch: batch normalisation "
            "over all of it on GPUs, over each part on CPUs."
        )


def _licence() -> list[str]:
    return [
        "kansearch is under the Apache License 2.0, which says nothing about these weights: they are their maker's, "
        "and the data set's licence may bind their use."
    ]


def _configuration(retraining: Retraining) -> list[str]:
    text = yaml.safe_dump(retraining.config.model_dump(mode="json"), sort_keys=False).rstrip()
    return ["```yaml", *text.splitlines(), "```"]


def _cell(name: str) -> str:
    return name.replace("|", "\\|")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
