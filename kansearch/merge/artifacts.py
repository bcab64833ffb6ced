"""Copy what goes with trials into a merged study: the front's weights, tracebacks, confirmations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.study.joining import Joined, Place
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.study import Study
from trials.files import first_line

__all__ = ["Artifacts"]

T = TypeVar("T")


class Artifacts:
    """Files of the trials of `sources`, which are read alone, for a new study that holds them as `joined` says.

    Args:
        sources: by the names under which a user knows them, in the order in which they were joined.
        study: the new one, in which the trials are already.
    """

    def __init__(self, sources: Mapping[str, Study], joined: Joined, study: Study) -> None:
        self._names, self._sources = list(sources), list(sources.values())
        self._joined, self._study = joined, study
        self.out_of_reach: dict[str, str] = {}
        """Why files of a study could not be looked for, by its name."""

    def bring_weights(self, front: Iterable[TrialRecord]) -> list[int]:
        """Copy the weights of the front's trials, as far as they are kept; the numbers of those that were."""
        return [record.number for record in front if self._first(record.number, self._copy_weights)]

    def bring_tracebacks(self, records: Iterable[TrialRecord]) -> None:
        """Copy what is kept of failed trials."""
        for record in records:
            if record.state == "fail":
                self._first(record.number, self._copy_traceback)

    def bring_confirmations(self) -> list[SeedRecord]:
        """Copy what is known of trainings for confirmation that have ended; of two of the same seed the one that got
        further, of equals the first."""
        best: dict[tuple[int, int], tuple[int, SeedRecord]] = {}
        for index, source in enumerate(self._sources):
            for record in SeedStore(source.folder).records():
                number = self._joined.numbers.get((index, record.number))
                if number is None or record.state == "running":
                    continue
                known = best.get((number, record.seed))
                if known is None or _further(record, known[1]):
                    best[number, record.seed] = index, record
        return [self._copy_confirmation(*best[key], number=key[0]) for key in sorted(best)]

    def _copy_confirmation(self, index: int, record: SeedRecord, number: int) -> SeedRecord:
        old = checkpoints_at(f"{self._sources[index].confirm_checkpoints}/{record.number:05d}")
        new = checkpoints_at(f"{self._study.confirm_checkpoints}/{number:05d}")
        text = self._try(index, lambda: old.error(record.seed)) if record.state == "fail" else None
        if text is not None:
            new.note_error(record.seed, text)
        renumbered = replace(record, number=number)
        SeedStore(self._study.folder).save(renumbered)
        return renumbered

    # -- a trial's files ----------------------------------------------------------------------------------------------

    def _first(self, number: int, copy: Callable[[Place, int], bool]) -> bool:
        """Copy a file of a trial from the first study that has it."""
        return any(copy(place, number) for place in self._joined.places[number])

    def _copy_weights(self, place: Place, number: int) -> bool:
        def read() -> bytes | None:
            with checkpoints_at(self._sources[place[0]].checkpoints).weights_of(place[1]) as weights:
                return weights.read_bytes() if weights.exists() else None

        content = self._try(place[0], read)
        if content is not None:
            checkpoints_at(self._study.checkpoints).keep_weights(number, content)
        return content is not None

    def _copy_traceback(self, place: Place, number: int) -> bool:
        text = self._try(place[0], lambda: checkpoints_at(self._sources[place[0]].checkpoints).error(place[1]))
        if text is not None:
            checkpoints_at(self._study.checkpoints).note_error(number, text)
        return text is not None

    def _try(self, index: int, read: Callable[[], T | None]) -> T | None:
        """Return what `read` reads of a study; None where its place is out of reach, now or in an earlier call."""
        name = self._names[index]
        if name in self.out_of_reach:
            return None
        try:
            return read()
        except Exception as error:  # each filesystem has its own
            self.out_of_reach[name] = first_line(error)
            return None


def _further(record: SeedRecord, other: SeedRecord) -> bool:
    def rank(each: SeedRecord) -> tuple[bool, int]:
        return each.state == "complete", each.epochs

    return rank(record) > rank(other)
