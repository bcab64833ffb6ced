"""Runs kansearch's commands in the process of the test, which has imported everything already."""

from __future__ import annotations

import os
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from kansearch import cli


class Outcome(NamedTuple):
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


def call(*arguments: str | Path, cwd: Path | None = None) -> Outcome:
    """Run a command in the folder `cwd`; nothing is checked. A test of signals or imports needs a process instead.

    The command has the variables that a process of its own would have, and leaves none behind.
    """
    from tests.helpers import environment  # which reads a study's trials by a command

    out, err = _Stream(), _Stream()
    with (
        mock.patch.dict(os.environ, environment()),
        mock.patch.object(sys, "argv", ["kansearch", *map(str, arguments)]),
        chdir(cwd or "."),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as leaving,
    ):
        cli.main()
    return Outcome(int(leaving.value.code or 0), out.text, err.text)


def answer(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run a command that must exit with 0; its stdout."""
    outcome = call(*arguments, cwd=cwd)
    assert outcome.code == 0, f"{arguments}: exit code {outcome.code}\n{outcome.out}\n{outcome.err}"
    return outcome.out


class _Stream(TextIOWrapper):
    """A file of text that is kept, and has a `buffer` as stdout has."""

    def __init__(self) -> None:
        self._bytes = BytesIO()
        super().__init__(self._bytes, encoding="utf-8", newline="", write_through=True)

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode()
