"""Notes that people keep on trials, where Optuna Dashboard keeps them: in attributes of the Optuna study.

    dashboard:<id>:note_ver        a number, raised with each change
    dashboard:<id>:note_str:<i>    the text's i-th piece

A trial that has ended takes no attributes of its own. `<id>` is the trial's in the database. Optuna Dashboard documents
no more than `save_note` and `get_note`; a test holds both against this module.
"""

from __future__ import annotations

import re

from kansearch.study.storage import Opened

__all__ = ["read_notes", "write_note"]

_VERSION = "dashboard:{}:note_ver"
_PIECE = "dashboard:{}:note_str:{}"
_LONGEST_PIECE = 2045
"""Characters, as in Optuna Dashboard: a column of Optuna once held no more than 2048."""


def read_notes(study: Opened) -> dict[int, str]:
    """The notes of an Optuna study by the numbers of their trials; one that was taken back is empty."""
    attributes = study.storage.get_study_system_attrs(study.id)
    pattern = re.compile(_VERSION.format(r"(\d+)"))
    found = [int(match[1]) for key in attributes if (match := pattern.fullmatch(key))]
    numbers = {study.storage.get_trial_number_from_id(trial_id): trial_id for trial_id in found}
    return {number: _text(attributes, numbers[number]) for number in sorted(numbers)}


def _text(attributes: dict[str, str], trial_id: int) -> str:
    pieces, index = list[str](), 0
    while (key := _PIECE.format(trial_id, index)) in attributes:
        pieces.append(attributes[key])
        index += 1
    return "".join(pieces)


def write_note(study: Opened, trial_id: int, text: str) -> None:
    """Commit the note of a trial, in place of the one that it has; an empty one takes that back."""
    attributes = study.storage.get_study_system_attrs(study.id)
    starts = range(0, len(text), _LONGEST_PIECE)
    written = {_PIECE.format(trial_id, index): text[at : at + _LONGEST_PIECE] for index, at in enumerate(starts)}
    index = len(written)
    while (key := _PIECE.format(trial_id, index)) in attributes:  # of a longer text before
        written[key] = ""
        index += 1
    version = int(attributes.get(_VERSION.format(trial_id), 0)) + 1

    def write() -> None:
        for key, value in (written | {_VERSION.format(trial_id): version}).items():
            study.storage.set_study_system_attr(study.id, key, value)

    study.write(write)
