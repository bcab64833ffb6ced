"""What a sampler sees: a window of the search, chosen configurations first, another study's results."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from kansearch.bench.problems import PROBLEMS, simulated_space
from kansearch.bench.simulator import MemoryStudy
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.proposer import Proposer
from kansearch.engine.warm_start import warm_start
from kansearch.space import SearchSettings, SearchSpace
from kansearch.space.samplers import SAMPLERS
from kansearch.study.front import front_of

QUICK = PROBLEMS[0]


def space(conditional: bool = True, **settings: Any) -> SearchSpace:
    return replace(simulated_space(conditional), search=SearchSettings(**{"scheduler": "none", **settings}))


def searched(study: MemoryStudy, chosen: int) -> None:
    """Run a study's trials, one after the other, up to `chosen` of them."""
    search = AskTell(study, 1, lambda: False, lambda record: None)
    while len(study.records()) < chosen and (assignment := search.ask()) is not None:
        for result in QUICK.curve(assignment.config):
            if search.tell(assignment.number, [result]):
                break


def test_a_long_search_shows_its_sampler_the_front_and_the_newest_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "tpe", replace(SAMPLERS["tpe"], window=40))
    study = MemoryStudy(space(sampler="tpe", trials=260, seed=1))
    searched(study, 260)
    records = study.records()
    proposer = Proposer.of_study(study, records)
    seen = [trial.params for trial in proposer._study.get_trials()]
    assert len(seen) == 40
    held: list[Mapping[str, Any]] = [trial.params for trial in study.optuna_trials()]
    assert seen == [params for params in held if params in seen], "in the order of the search"
    front = [held[record.number] for record in front_of(records, study.objectives)]
    assert sum(params in seen for params in front) >= min(20, len(front)), "half of the window is for the best"
    assert held[-1] in seen


def test_a_window_moves_while_trials_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "tpe", replace(SAMPLERS["tpe"], window=10))
    study = MemoryStudy(space(sampler="tpe", trials=400, scheduler="halving", seed=1))
    search = AskTell(study, 3, lambda: False, lambda record: None)
    curves: dict[int, Any] = {}
    while not search.exhausted:
        while (assignment := search.ask()) is not None:
            curves[assignment.number] = iter(QUICK.curve(assignment.config))
        for number in list(curves):
            if search.tell(number, [next(curves[number])]) or number not in search.live:
                del curves[number]
        assert len(search._proposer._study.get_trials(deepcopy=False)) <= 10 + 100 + 3 + 1
    assert [record.number for record in study.records()] == list(range(400))
    assert all(record.state in ("complete", "pruned") for record in study.records())


def test_a_proposer_of_a_resumed_study_knows_which_trials_still_run() -> None:
    study = MemoryStudy(space(sampler="tpe", trials=30))
    searched(study, 20)
    left = AskTell(study, 2, lambda: False, lambda record: None)
    asked = [left.ask(), left.ask()]
    again = AskTell(study, 2, lambda: False, lambda record: None)
    assert [again.ask(), again.ask()] == asked
    states = [trial.state.name for trial in again._proposer._study.get_trials()]
    assert states == ["COMPLETE"] * 20 + ["RUNNING"] * 2
    for assignment in asked:
        assert assignment is not None
        for result in QUICK.curve(assignment.config):
            again.tell(assignment.number, [result])
    assert all(trial.state.name == "COMPLETE" for trial in again._proposer._study.get_trials())


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "nsga3", "qmc"])
def test_chosen_configurations_come_first_and_once(sampler: Any) -> None:
    chosen = ({"model.width": 7, "model.depth": 2}, {"model.width": 11})
    study = MemoryStudy(replace(space(False, sampler=sampler, trials=6), enqueued=chosen))
    searched(study, 1)
    searched(study, 6)  # a second driver
    models = [record.config.model for record in study.records()]
    assert (models[0].width, models[0].depth, models[1].width) == (7, 2, 11)
    assert len({str(record.config) for record in study.records()}) == 6


def test_what_another_study_found_is_tried_first_and_learned_from() -> None:
    """With the other's trials for a start tpe proposes good learning rates at once; by itself it draws at random."""
    other = MemoryStudy(space(sampler="random", trials=150, seed=1))
    searched(other, 150)

    def away(record: Any) -> float:
        optimizer = record.config.optimizer
        best = {"adamw": 3e-3, "lion": 5e-4}[optimizer.name]
        return abs(math.log10(optimizer.lr / best))

    def later(start: Mapping[str, Any] | None) -> float:
        study = MemoryStudy(space(sampler="tpe", trials=60, startup_trials=50, random_share=0.0, seed=2))
        if start is not None:
            study._optuna.set_user_attr("kansearch:warm_start", start)
        first = len(study.chosen())
        searched(study, first + 12)
        return statistics.mean(away(record) for record in study.records()[first:])

    start = warm_start(other.records(), space(sampler="tpe"), other.space)
    assert len(start.observations) == 150 and start.proposals and not start.skipped
    document = json.loads(json.dumps(asdict(start)))
    assert later(document) < 0.7 * later(None)

    study = MemoryStudy(space(sampler="tpe", trials=60))
    study._optuna.set_user_attr("kansearch:warm_start", document)
    searched(study, len(start.proposals))
    front = front_of(other.records(), other.objectives)
    assert [record.config for record in study.records()] == [record.config for record in front]
    assert len(study.records()) == len(start.proposals), "what the other found is no trial of this one"
