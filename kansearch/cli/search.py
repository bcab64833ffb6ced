"""Commands that search: check and plan a space, launch, resume, merge.

A command parses, calls one function and prints; heavy imports wait until it runs.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from kansearch.cli.options import (
    STUDIES,
    Address,
    Checkpoints,
    DataDir,
    Home,
    Json,
    MaxConcurrent,
    Settings,
    SpaceName,
    StorageUrl,
    StudyName,
    TimeBudget,
    TrackingUri,
    Trials,
    TrustData,
    overrides,
)

__all__ = ["launch", "merge", "plan", "presets", "resume", "schema", "spaces", "validate"]


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
    verdict: Annotated[
        bool,
        typer.Option(
            "--verdict", help="Search KANs and plain networks each by itself, confirm the best, say which is better."
        ),
    ] = False,
    sizes: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Of --verdict: bounds of parameters, such as 1k,3k,10k.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Of --verdict: seeds that confirm each network. Default: 5.")
    ] = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Search a space: run its trials, log them to MLflow, print the front."""
    from kansearch.commands import searching
    from kansearch.errors import InputError
    from kansearch.space import find_space, load_space

    name = None if study is None else json.dumps(study)  # quoted, or YAML would take 2024 for a number
    keys: dict[str, Any] = {"study": name, "search.trials": trials, "search.time_budget": time_budget}
    keys |= {"search.seed": seed, "epochs": epochs, "search.deterministic": "true" if deterministic else None}
    keyed = overrides(settings, keys)
    searched = load_space(find_space(space), keyed)
    options = searching.search_options(home, address, max_concurrent, data_dir, trust_data)
    places = {"storage_url": storage, "tracking_uri": tracking_uri, "checkpoints": checkpoints}
    if verdict:
        from kansearch.commands.verdict_search import VerdictOptions, run_verdict_search

        if source is not None:
            raise InputError("--verdict begins with nothing, which is equal effort for both arms: leave out --from")
        run_verdict_search(searched, options, places, VerdictOptions(sizes, 5 if seeds is None else seeds), as_json)
    elif sizes is not None or seeds is not None:
        raise InputError("--sizes and --seeds go with --verdict")
    else:
        searching.run_launch(searched, options, places, source, as_json)


def resume(
    study: StudyName,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    data_dir: DataDir = None,
    trust_data: TrustData = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Go on with a study after a stop or a crash: nothing lost, nothing run twice."""
    from kansearch.commands import searching

    keyed = overrides(None, {"search.trials": trials, "search.time_budget": time_budget})
    searching.run_resume(
        study, keyed, searching.search_options(home, address, max_concurrent, data_dir, trust_data), as_json
    )


def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Two or more: names, or paths of studies' folders.")
    ],
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the new study.")],
    storage: StorageUrl = None,
    tracking_uri: TrackingUri = None,
    checkpoints: Checkpoints = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Join studies of one space into a new one, which holds all their trials; they stay as they are."""
    from kansearch.commands import merging

    places = {"storage_url": storage, "tracking_uri": tracking_uri, "checkpoints": checkpoints}
    merging.run_merge(home, sources, study, places, as_json)


def validate(space: SpaceName, settings: Settings = None) -> None:
    """Check a search space; print everything wrong with it, with line and column."""
    from kansearch.space import find_space, load_space

    path = find_space(space)
    searched = load_space(path, settings or ())
    count = len(searched.hyperparameters())
    typer.echo(f"{path}: valid; study {searched.study}, {count} hyperparameters, {searched.search.trials} trials")


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


def spaces() -> None:
    """List the search spaces that come with kansearch."""
    from kansearch.commands import looking

    looking.print_spaces()


def presets(as_json: Json = False) -> None:
    """List the published networks: their parameters here, and what was published of them."""
    from kansearch.commands import looking

    looking.print_presets(as_json)


def schema() -> None:
    """Print the JSON Schema of a search-space file, for editors."""
    from kansearch.commands import common
    from kansearch.space import json_schema

    common.print_json(json_schema())
