"""Inheritance of a merged study beside its trials: time, sessions, a sampler's sequence, what is still to be tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kansearch.study.history import History, joined_history
from kansearch.study.joining import Joined
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study

__all__ = ["inherited"]


def inherited(sources: Mapping[str, Study], records: Sequence[Sequence[TrialRecord]], joined: Joined) -> History:
    """The history of the study that holds the trials of `sources` as `joined` says; `records` are each source's.

    Configurations that were enqueued in a source, and not yet run in any source, are still to be tried. Results that a
    source learned from a third study stay known, unless those are trials here.
    """
    history = joined_history({label: source.history for label, source in sources.items()})
    told = [each for pair in zip(sources.items(), records, strict=True) for each in _told(*pair[0], pair[1])]
    history = replace(history, sources=_once(told))
    known = [trial.params for trial in joined.trials]
    chosen = [each for source, own in zip(sources.values(), records, strict=True) for each in source.chosen(len(own))]
    untried = [each for each in _once(chosen) if not any(params.items() >= each.items() for params in known)]
    measured = {
        _text(params, records[index][number].values)
        for params, ((index, number), *_) in zip(known, joined.places, strict=True)
    }
    learned = _once([list(prior) for source in sources.values() for prior in source.priors()])
    learned = [(params, values) for params, values in learned if _text(params, values) not in measured]
    if not untried and not learned:
        return history
    observations = [{"hyperparameters": params, "values": values} for params, values in learned]
    return replace(history, warm_start={"after": len(known), "proposals": untried, "observations": observations})


def _told(label: str, source: Study, records: Sequence[TrialRecord]) -> Iterator[Mapping[str, Any]]:
    """How a source was searched; of one that was merged itself how its own sources were, and it, if it went on."""
    yield from source.sources
    if not source.sources or any(record.source is None for record in records):
        yield {"study": label, "search": source.space.search.model_dump(mode="json")}


def _once(documents: Sequence[Any]) -> list[Any]:
    """Without those that are there before."""
    first: dict[str, Any] = {}
    for each in documents:
        first.setdefault(_text(each), each)
    return list(first.values())


def _text(*documents: Any) -> str:
    return json.dumps(documents, sort_keys=True)
