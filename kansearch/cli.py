"""The command line. A command parses, calls one function, and prints; what it needs is imported when it runs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from kansearch import __version__
from kansearch.commands import benching
from kansearch.errors import KansearchError, SpaceError
from kansearch.installation import check_trials_package

__all__ = ["app", "main"]

app = typer.Typer(
    name="kansearch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which Kolmogorov-Arnold network, if any, is worth its parameters on my data?",
    epilog="Any command takes --debug, which shows the traceback of an error.",
)
app.add_typer(benching.app, name="bench")

Home = Annotated[
    Path, typer.Option(envvar="KANSEARCH_HOME", help="Folder of studies.", show_default=True, file_okay=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Where to look for a data set's files first.")]
TrustData = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE:FUNCTION", help="Let data.function of the search space run this code."),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")]
SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="A .yaml file, or the name of a shipped search space.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the search space.")
]
Trials = Annotated[int | None, typer.Option(help="Trials in all; the same as --set search.trials=N.")]
TimeBudget = Annotated[str | None, typer.Option(help="Wall time in all, such as 90s, 30m, 2h.")]
StorageUrl = Annotated[str | None, typer.Option(metavar="URL", help="Database of the study. Default: SQLite.")]
TrackingUri = Annotated[str | None, typer.Option(metavar="URI", help="MLflow's store. Default: SQLite.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster to join: auto or HOST:PORT. Default: start one here.")]
Checkpoints = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="Folder or URL for checkpoints, seen by every machine. Default: the study's."),
]
MaxConcurrent = Annotated[int | None, typer.Option(min=1, help="Trials at once. Default: as many as fit.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A folder that `retrain` wrote.")]
NewFolder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; a new one.")]
FinetuneRate = Annotated[
    float, typer.Option(min=0, help="Learning rate of fine-tuning over the one that the model was trained with.")
]

_STUDIES = Path("studies")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kansearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def launch(
    space: SpaceName,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    settings: Settings = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study. Default: the file's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each trial.")] = None,
    storage: StorageUrl = None,
    tracking_uri: TrackingUri = None,
    checkpoints: Checkpoints = None,
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="STUDY", help="Begin with what another study found.")
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same trials whatever the workers' timing.")
    ] = False,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Search a space: run its trials, log them to MLflow, print the front."""
    from kansearch.commands import searching
    from kansearch.space import find_space, load_space

    name = None if study is None else json.dumps(study)  # quoted, or YAML would take 2024 for a number
    keys: dict[str, Any] = {"study": name, "search.trials": trials, "search.time_budget": time_budget}
    keys |= {"search.seed": seed, "epochs": epochs, "search.deterministic": "true" if deterministic else None}
    overrides = _overrides(settings, keys)
    searched = load_space(find_space(space), overrides)
    options = searching.search_options(home, address, max_concurrent, data_dir, trust_data)
    places = {"storage_url": storage, "tracking_uri": tracking_uri, "checkpoints": checkpoints}
    searching.run_launch(searched, options, places, source, as_json)


@app.command()
def resume(
    study: StudyName,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Go on with a study after a stop or a crash: nothing lost, nothing run twice."""
    from kansearch.commands import searching

    overrides = _overrides(None, {"search.trials": trials, "search.time_budget": time_budget})
    searching.run_resume(
        study, overrides, searching.search_options(home, address, max_concurrent, data_dir, trust_data), as_json
    )


@app.command()
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Two or more: names, or paths of studies' folders.")
    ],
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the new study.")],
    storage: StorageUrl = None,
    tracking_uri: TrackingUri = None,
    checkpoints: Checkpoints = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Join studies of one space into a new one, which holds all their trials; they stay as they are."""
    from kansearch.commands import merging

    places = {"storage_url": storage, "tracking_uri": tracking_uri, "checkpoints": checkpoints}
    merging.run_merge(home, sources, study, places, as_json)


@app.command()
def validate(space: SpaceName, settings: Settings = None) -> None:
    """Check a search space; print everything wrong with it, with line and column."""
    from kansearch.space import find_space, load_space

    path = find_space(space)
    searched = load_space(path, settings or ())
    count = len(searched.hyperparameters())
    typer.echo(f"{path}: valid; study {searched.study}, {count} hyperparameters, {searched.search.trials} trials")


@app.command()
def plan(
    space: SpaceName,
    configurations: Annotated[int, typer.Option("-n", "--configurations", min=1, help="How many to draw.")] = 500,
    settings: Settings = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    as_json: Json = False,
) -> None:
    """Draw configurations of a space: their sizes, the share a search would refuse, and the time it would take."""
    from kansearch.commands import planning
    from kansearch.space import find_space, load_space
    from trials.data import functions

    functions.trust_data(*(trust_data or ()))
    planning.run_plan(load_space(find_space(space), settings or ()), configurations, data_dir, as_json)


@app.command()
def spaces() -> None:
    """List the search spaces that come with kansearch."""
    from kansearch.commands import looking

    looking.print_spaces()


@app.command()
def presets(as_json: Json = False) -> None:
    """List the published networks: their parameters here, and what was published of them."""
    from kansearch.commands import looking

    looking.print_presets(as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a search-space file, for editors."""
    from kansearch.commands import common
    from kansearch.space import json_schema

    common.print_json(json_schema())


@app.command()
def studies(home: Home = _STUDIES, as_json: Json = False) -> None:
    """List the studies."""
    from kansearch.commands import looking

    looking.print_studies(home, as_json)


@app.command()
def trials(
    study: StudyName,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="[TRIAL]", help="Number of one trial, to be shown whole.", show_default=False),
    ] = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """List every trial of a study: state, reason, objectives, configuration; or show one whole, with its traceback."""
    from kansearch.commands import common, looking, one_trial

    opened = common.open_study(home, study)
    if trial is None:
        looking.print_trials(opened, as_json)
    else:
        one_trial.print_trial(opened, trial, as_json)


@app.command()
def front(
    study: StudyName,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it too: .png, .svg or .pdf.")] = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Print the front: complete trials that no other beats in every objective."""
    from kansearch.commands import common, looking

    looking.print_front(common.open_study(home, study), plot, as_json)


@app.command()
def report(
    study: StudyName,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: report.html in the study's folder.")
    ] = None,
    home: Home = _STUDIES,
) -> None:
    """Write one HTML page that shows the whole search; it needs no network."""
    from kansearch.commands import common, looking

    looking.write_report(common.open_study(home, study), output)


@app.command()
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
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Train trials of the front again, over several seeds, and measure them on the test split, with intervals."""
    from kansearch.commands import confirming, searching

    options = searching.search_options(home, address, max_concurrent, data_dir, trust_data)
    confirming.run_confirm(study, picks, seeds, options, as_json)


@app.command()
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
    home: Home = _STUDIES,
) -> None:
    """Write the configuration of a trial, of the front unless it is named by its number."""
    from kansearch.commands import common, delivering

    bounds = {"max_parameters": max_parameters, "min_accuracy": min_accuracy, "force": force}
    delivering.run_export(common.open_study(home, study), output, data_dir, pick=pick, **bounds)


@app.command()
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
    home: Home = _STUDIES,
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


@app.command()
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


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `retrain` or `compress` wrote.")],
    second: Annotated[Path, typer.Argument(metavar="DIR", help="Another one, of the same data set.")],
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    as_json: Json = False,
) -> None:
    """Compare two trained models on the same test images, image by image; seeds that both have are pairs."""
    from kansearch.commands import using
    from trials.data import functions

    functions.trust_data(*(trust_data or ()))
    using.run_compare(first, second, data_dir, as_json)


@app.command()
def compress(
    model: ModelFolder,
    output: NewFolder,
    prune: Annotated[float, typer.Option(metavar="SHARE", help="Set the least important edges to zero.")] = 0.0,
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
        model, output, prune, channels, quantize, tables, finetune_epochs, finetune_rate, data_dir, as_json
    )


@app.command()
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


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(metavar="STUDY|DIR", help="A study, or a folder that `retrain` wrote.")],
    pick: Annotated[str, typer.Option(help="Of a study's front: knee, best, smallest, or a trial number.")] = "knee",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Default: pictures, in the folder.")
    ] = None,
    data_dir: DataDir = None,
    home: Home = _STUDIES,
    as_json: Json = False,
) -> None:
    """Draw the functions that a trained network has learned, layer by layer."""
    from kansearch.commands import looking

    looking.run_inspect(source, pick, output, data_dir, home, as_json)


@app.command()
def dashboard(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="Open at this study's runs.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="On loopback. Default: a free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    home: Home = _STUDIES,
) -> None:
    """Show the runs in MLflow, on loopback, until Ctrl-C."""
    from kansearch.commands import looking

    looking.run_dashboard(home, study, port, browser)


@app.command()
def doctor(home: Home = _STUDIES, data_dir: DataDir = None) -> None:
    """Check that everything a search needs works here."""
    from kansearch.commands import looking

    looking.print_checks(home, data_dir)


def _overrides(settings: list[str] | None, keys: dict[str, Any]) -> list[str]:
    return [*(settings or ()), *(f"{key}={value}" for key, value in keys.items() if value is not None)]


def main() -> None:
    """Entry point: runs a command, and turns every error into one message and an exit code."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        check_trials_package()
        app(arguments, prog_name="kansearch")
    except SystemExit as leaving:
        if leaving.code == 130:
            print("kansearch: interrupted", file=sys.stderr)
        _flush(leaving.code)
    except BrokenPipeError:
        _flush(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, code = _explain(error)
        print(message, file=sys.stderr)
        _flush(code)


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message for the user, and the exit code."""
    if isinstance(error, SpaceError):
        return str(error), error.exit_code  # each line begins with a place in a file
    if isinstance(error, KansearchError):
        return f"kansearch: {error}", error.exit_code
    if isinstance(error, OSError) and error.strerror:
        return f"kansearch: {error.filename or type(error).__name__}: {error.strerror}", 1
    from trials.files import typed_line

    return f"kansearch: internal error: {typed_line(error)} (run it again with --debug)", 1


def _flush(code: str | int | None) -> None:
    """Leave with `code`; whoever read our output may be gone already."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush at exit
        code = 1
    sys.exit(code)
