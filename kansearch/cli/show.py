"""Commands that show what there is: studies, trials, fronts, reports, the dashboard.

A command parses, calls one function and prints; heavy imports wait until it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kansearch.cli.options import STUDIES, DataDir, Home, Json, StudyName

__all__ = ["dashboard", "doctor", "front", "inspect", "note", "report", "studies", "trials", "verdict"]


def studies(home: Home = STUDIES, as_json: Json = False) -> None:
    """List the studies."""
    from kansearch.commands import looking

    looking.print_studies(home, as_json)


def trials(
    study: StudyName,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="[TRIAL]", help="Number of one trial, to be shown whole.", show_default=False),
    ] = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """List every trial of a study: state, reason, objectives, configuration; or show one whole, with its traceback."""
    from kansearch.commands import common, looking, one_trial

    opened = common.open_study(home, study)
    if trial is None:
        looking.print_trials(opened, as_json)
    else:
        one_trial.print_trial(opened, trial, as_json)


def note(
    study: StudyName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of the trial.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Markdown; empty takes a note back.")],
    home: Home = STUDIES,
) -> None:
    """Keep a note on a trial: MLflow, Optuna Dashboard, the report and `trials STUDY TRIAL` show it."""
    from kansearch.commands import common, one_trial

    one_trial.note_trial(common.open_study(home, study), trial, text)


def front(
    study: StudyName,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it too: .png, .svg or .pdf.")] = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Print the front: complete trials that no other beats in every objective."""
    from kansearch.commands import common, looking

    looking.print_front(common.open_study(home, study), plot, as_json)


def report(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="A study; or several of one data set, to be compared.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Default: report.html in the study's folder; of several, in --home."
        ),
    ] = None,
    home: Home = STUDIES,
) -> None:
    """Write one HTML page that shows the whole search, or compares several; it needs no network."""
    from kansearch.commands import common, comparing, looking

    if len(studies) > 1:
        comparing.report_together(studies, output, home)
    else:
        looking.write_report(common.open_study(home, studies[0]), output)


def verdict(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="A study, or several of one data set, such as one an arm.")
    ],
    sizes: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Bounds of parameters, such as 1k,3k,10k. Default: half decades."),
    ] = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Say whether a KAN is better than the best plain network, for several bounds of parameters, and how surely."""
    from kansearch.commands.verdict import print_verdict

    print_verdict(studies, sizes, home, as_json)


def inspect(
    source: Annotated[str, typer.Argument(metavar="STUDY|DIR", help="A study, or a folder that `retrain` wrote.")],
    pick: Annotated[str, typer.Option(help="Of a study's front: knee, best, smallest, or a trial number.")] = "knee",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Default: pictures, in the folder.")
    ] = None,
    data_dir: DataDir = None,
    home: Home = STUDIES,
    as_json: Json = False,
) -> None:
    """Draw the functions that a trained network has learned, layer by layer."""
    from kansearch.commands import looking

    looking.run_inspect(source, pick, output, data_dir, home, as_json)


def dashboard(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="Open at this study's runs.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="On loopback. Default: a free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    home: Home = STUDIES,
) -> None:
    """Show the runs in MLflow, on loopback, until Ctrl-C."""
    from kansearch.commands import looking

    looking.run_dashboard(home, study, port, browser)


def doctor(home: Home = STUDIES, data_dir: DataDir = None) -> None:
    """Check that everything a search needs works here."""
    from kansearch.commands import looking

    looking.print_checks(home, data_dir)
