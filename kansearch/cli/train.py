"""Commands that train a configuration and use what came of it: confirm, export, retrain, predict, compress, symbolic.

A command parses, calls one function and prints; heavy imports wait until it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kansearch.cli.options import (
    STUDIES,
    Address,
    DataDir,
    FinetuneRate,
    Home,
    Json,
    MaxConcurrent,
    ModelFolder,
    NewFolder,
    StudyName,
    TrustData,
)

__all__ = ["compare", "compress", "confirm", "export", "grow", "predict", "retrain", "symbolic"]


def confirm(
    study: StudyName,
    seeds: Annotated[int, typer.Option(min=1, help="Train each pick this many times, each with its own seed.")] = 5,
    picks: Annotated[
        str, typer.Option(help="front, knee, best, smallest or trial numbers, with commas between.")
    ] = "front",
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Train trials of the front again, over several seeds, and measure them on the test split, with intervals."""
    from kansearch.commands import confirming, searching

    options = searching.search_options(home, address, max_concurrent, data_dir, trust_data)
    confirming.run_confirm(study, picks, seeds, options, as_json)


def export(
    study: StudyName,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="YAML file to write.")],
    pick: Annotated[
        str | None,
        typer.Option(help="knee, best, smallest, or a trial number. Default: knee, or what a bound asks for."),
    ] = None,
    max_parameters: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The best of the trials with at most N parameters.")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="A", min=0, max=1, help="The smallest with a validation accuracy of A or more."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="A trial that is not complete, too.")] = False,
    data_dir: DataDir = None,
    home: Home = STUDIES,
) -> None:
    """Write the configuration of a trial, of the front unless it is named by its number."""
    from kansearch.commands import common, delivering

    bounds = {"max_parameters": max_parameters, "min_accuracy": min_accuracy, "force": force}
    delivering.run_export(common.open_study(home, study), output, data_dir, pick=pick, **bounds)


def retrain(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write.")],
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A file that `kansearch export` wrote.")
    ] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Instead of CONFIG: a published network.")] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Train the preset on it. Default: what it was published on.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the configuration's.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Train this many times, each with its own seed; side by side on several GPUs.")
    ] = 1,
    data: Annotated[
        str,
        typer.Option(metavar="PART", help="all of the training split, or training: its validation part is measured."),
    ] = "all",
    gpus: Annotated[
        int, typer.Option(min=1, help="Processes that share each batch, each on its GPU; on CPUs where there is none.")
    ] = 1,
    address: Address = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Start from the weights in a folder of `retrain`.")
    ] = None,
    freeze: Annotated[
        str, typer.Option(metavar="PART", help="With --from: none, or features: all but the head stays.")
    ] = "none",
    export_formats: Annotated[
        str, typer.Option("--export", metavar="FORMATS", help="Write these too: onnx, torch, or onnx,torch.")
    ] = "",
    register: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model in MLflow's registry.")
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow's store. Default: the study's, else SQLite.")
    ] = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Train a configuration, or a preset, on the whole training split and measure it on the test split."""
    from kansearch.commands import delivering
    from trials.data import functions

    functions.trust_data(*(trust_data or ()))
    chosen, source = delivering.config_of(config, preset, dataset), delivering.source_of(config, preset)
    if epochs is not None:
        chosen = chosen.model_copy(update={"epochs": epochs})
    retraining = delivering.retraining_of(
        chosen, source, output, seeds, data, gpus, address, start, freeze, data_dir, tuple(trust_data or ())
    )
    delivering.run_retrain(retraining, home, tracking_uri, export_formats, register, as_json)


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A folder that `retrain` wrote.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES",
            help="Image files, folders of them, or .npy and .npz files of numbers (N, C, *size); of a model of a table "
            ".csv, .parquet or .npz files. Colours are made grey for a model of one channel.",
        ),
    ],
    top: Annotated[int | None, typer.Option(min=1, help="Name so many of the likeliest classes. Default: 1.")] = None,
    resize: Annotated[
        bool, typer.Option("--resize", help="Scale and crop images of another size, as a folder of images is.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Samples at once.")] = 64,
    masks: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR|CSV", help="Folder for masks of pixels, file for a table's rows."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify images or signals with a trained model, or predict the rows of a CSV."""
    from kansearch.commands import using

    using.run_predict(model, inputs, top, resize, batch, masks, as_json)


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="DIR|STUDY", help="A folder that `retrain` or `compress` wrote; or a study.")
    ],
    second: Annotated[Path, typer.Argument(metavar="DIR|STUDY", help="Another one, of the same data set.")],
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Compare two trained models on the same test images, image by image; or the fronts of two studies."""
    from kansearch.commands import comparing, using
    from trials.data import functions

    if comparing.are_studies((first, second), home):
        comparing.compare_in_terminal((str(first), str(second)), home, as_json)
        return
    functions.trust_data(*(trust_data or ()))
    using.run_compare(first, second, data_dir, as_json)


def compress(
    model: ModelFolder,
    output: NewFolder,
    prune: Annotated[float, typer.Option(metavar="SHARE", help="Set the least important edges to zero.")] = 0.0,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Set edges to zero while the validation error grows by no more than this."),
    ] = None,
    channels: Annotated[float, typer.Option(metavar="SHARE", help="Take each layer's least channels out.")] = 0.0,
    quantize: Annotated[str | None, typer.Option(metavar="int8", help="Weights of 8 bits.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Read bases from tables where that is faster.")] = False,
    finetune_epochs: Annotated[
        int | None, typer.Option(min=0, help="After pruning. Default: 3 where something is pruned.")
    ] = None,
    finetune_rate: FinetuneRate = 0.5,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    as_json: Json = False,
) -> None:
    """Make a trained model smaller and faster; measure it before and after each step."""
    from kansearch.commands import compressing
    from trials.data import functions

    functions.trust_data(*(trust_data or ()))
    compressing.run_compress(
        model, output, prune, tolerance, channels, quantize, tables, finetune_epochs, finetune_rate, data_dir, as_json
    )


def grow(
    model: ModelFolder,
    output: NewFolder,
    finetune_epochs: Annotated[int, typer.Option(min=0, help="On the finer grids.")] = 3,
    finetune_rate: FinetuneRate = 0.5,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    as_json: Json = False,
) -> None:
    """Put a trained model's B-splines on grids twice as fine, and train it on."""
    from kansearch.commands import compressing
    from trials.data import functions

    functions.trust_data(*(trust_data or ()))
    compressing.run_grow(model, output, finetune_epochs, finetune_rate, data_dir, as_json)


def symbolic(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL_DIR...", help="Folders that `retrain` or `compress` wrote, of one data set."),
    ],
    target: Annotated[str | None, typer.Option(metavar="NAME", help="The target, where there are several.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: symbolic.json in the first folder.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Processor time for the search in each model at most.")] = 60.0,
    latex: Annotated[bool, typer.Option("--latex", help="Print each formula in LaTeX, too.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read formulas from trained KANs of the family mlp: a front of error against complexity."""
    from kansearch.commands import formulas

    formulas.run_symbolic(models, target, output, data_dir, seconds, latex, as_json)
