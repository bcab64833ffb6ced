"""The command line.

A command parses, calls one function and prints. It imports what it needs when it runs: `--help` loads no torch, Ray,
Optuna or MLflow. `search`, `train` and `show` have the commands, `options` what they share.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from kansearch import __version__
from kansearch.cli import search, show, train
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


for command in (
    search.launch,
    search.resume,
    search.merge,
    search.validate,
    search.plan,
    search.spaces,
    search.presets,
    search.schema,
    show.studies,
    show.trials,
    show.note,
    show.front,
    show.report,
    train.confirm,
    show.verdict,
    train.export,
    train.retrain,
    train.predict,
    train.compare,
    train.compress,
    train.grow,
    train.symbolic,
    show.inspect,
    show.dashboard,
    show.doctor,
):
    app.command()(command)


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
