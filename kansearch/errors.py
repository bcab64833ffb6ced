"""Every error a user may meet, and the exit code of each.

    KansearchError                   1   the command failed; the message says why in one line
    ├── InputError                   2   what the user typed or wrote is wrong
    │   ├── SpaceError               2   a search-space file, every issue as file:line:column: path: reason
    │   └── UnknownStudyError        2   no study of that name
    ├── StudyBusyError               1   another driver works on the study
    ├── UnreadableConfigError        1   a study holds a configuration that another version wrote
    ├── InterruptionError        1   a database, a disk or a machine stopped the search; resumable
    └── SearchInterrupted      130/143   stopped by SIGINT or SIGTERM; resumable

The command line prints the message and leaves with `exit_code`; a traceback appears with `--debug` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "InputError",
    "InterruptionError",
    "KansearchError",
    "SearchInterrupted",
    "SpaceError",
    "SpaceIssue",
    "StudyBusyError",
    "UnknownStudyError",
    "UnreadableConfigError",
    "causes",
]


class KansearchError(Exception):
    """A command failed for a reason that the message tells in full."""

    exit_code = 1


class UnreadableConfigError(KansearchError):
    """This version knows a field of a stored configuration otherwise: `path`, and the `reason` why it is refused."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"this version of kansearch cannot read a trial's configuration ({path}: {reason}): go on with the version "
            "that wrote it, or launch a new study `--from` this one, which leaves the trial out"
        )
        self.path = path
        self.reason = reason


class InputError(KansearchError):
    """The user typed or wrote something wrong."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class SpaceIssue:
    """One thing wrong in a search-space file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    path: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}: {self.reason}" if self.path else f"{place}: {self.reason}"


class SpaceError(InputError):
    """A search-space file is wrong; `issues` holds everything found, in file order."""

    def __init__(self, issues: Sequence[SpaceIssue]) -> None:
        self.issues = tuple(sorted(issues))
        super().__init__("\n".join(str(issue) for issue in self.issues))


class UnknownStudyError(InputError):
    """No study of that name in the folder of studies."""


class StudyBusyError(KansearchError):
    """Another live driver holds the study's lock."""


class InterruptionError(KansearchError):
    """No trial's fault: a database, a disk or a machine stopped the search.

    What was committed is kept, unfinished trials stay unfinished, and `kansearch resume` goes on.
    """


class SearchInterrupted(KansearchError):
    """A signal stopped the search; every finished trial is kept and `kansearch resume` goes on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error`, what it was raised from or while handling, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
