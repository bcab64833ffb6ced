"""The front sampler in a search: sizes known before training, rungs of stopped trials, resuming, constraints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from kansearch.bench.problems import PROBLEMS, simulated_space
from kansearch.bench.simulator import MemoryStudy, simulate
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.feasibility import Feasibility
from kansearch.engine.front_search import RUNGS, front_sampler, rungs_of
from kansearch.engine.proposer import Proposer
from kansearch.space import GivenSuggest, SearchSettings, SearchSpace, parse_space
from kansearch.space.unit import UnitSuggest
from kansearch.study.records import TrialRecord
from kansearch.study.stored_config import StoredConfig
from trials.config import TrialConfig
from trials.training import measure

NOISY = next(problem for problem in PROBLEMS if problem.name == "noisy")
SPACE = """
study: sizes
data: {dataset: digits}
model:
  depth: {int: [1, 3]}
  width: {int: [2, 32], log: true}
  basis: {choice: [none, {name: gram, degree: {int: [1, 4]}}, {name: jacobi, degree: {int: [1, 4]}}]}
optimizer: {name: adamw, lr: {float: [0.001, 0.1], log: true}}
epochs: 9
constraints: {parameters: 700}
objectives: {accuracy: maximize, flops: minimize}
search: {sampler: front, scheduler: halving, startup_trials: 4, random_share: 0.0, trials: 60, seed: 2}
"""


def result(epoch: int, config: TrialConfig, sizes: Mapping[str, float]) -> dict[str, Any]:
    document = config.model_dump()
    away = abs(document["optimizer"]["lr"] - 0.01)
    accuracy = 1 - (0.1 + away) * (1 + 1 / epoch) / document["model"]["width"] ** 0.3
    same = {"train_loss": 1.0, "validation_loss": 1.0, "seconds": 1.0, "images_per_second": 1.0, "learning_rate": 0.1}
    return {"epoch": epoch, "accuracy": accuracy, **same, **sizes}


def searched(space: SearchSpace, trials: int) -> tuple[MemoryStudy, AskTell]:
    """A search whose trials end one after the other, sizes counted on the meta device."""
    study = MemoryStudy(space)
    search = AskTell(study, 2, lambda: False, lambda record: None)
    while len(study.records()) < trials:
        assignment = search.ask()
        assert assignment is not None
        sizes = measure(assignment.config, ["parameters", "flops"])
        for epoch in range(1, 10):
            if search.tell(assignment.number, [result(epoch, assignment.config, sizes)]):
                break
    return study, search


def test_no_configuration_that_breaks_a_constraint_is_proposed_once_it_has_begun() -> None:
    study, _ = searched(parse_space(SPACE, "my.yaml"), 24)
    states = [record.state for record in study.records()]
    trained = [number for number, state in enumerate(states) if state != "infeasible"]
    assert "infeasible" in states[: trained[4]], "it draws at random until four trials have ended"
    assert "infeasible" not in states[trained[4] :] and len(states) - trained[4] > 10


def test_a_resumed_search_knows_what_the_killed_one_knew() -> None:
    study, search = searched(parse_space(SPACE, "my.yaml"), 20)
    live = search._proposer._study.get_trials()
    again = Proposer.of_study(study, study.records())._study.get_trials()
    assert [(each.params, each.values, each.user_attrs) for each in live] == [
        (each.params, each.values, each.user_attrs) for each in again
    ]
    stopped = [trial for trial in again if trial.state.name == "PRUNED" and trial.user_attrs.get(RUNGS)]
    assert stopped, "what a stopped trial measured is kept"


def test_rungs_are_shares_of_the_training_with_all_objectives() -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "epochs": 9})
    curve = [result(epoch, config, {"parameters": 100, "flops": 200}) for epoch in range(1, 6)]
    record = TrialRecord(0, "pruned", stored=StoredConfig(config.model_dump(mode="json")), curve=curve)
    found = rungs_of(record, {"accuracy": "maximize", "seconds": "minimize", "flops": "minimize"})
    assert [share for share, _ in found] == pytest.approx([1 / 9, 3 / 9, 5 / 9])
    assert found[1][1] == [curve[2]["accuracy"], 3.0, 200.0]


def test_networks_of_one_size_are_counted_once() -> None:
    """For the sampler and for the constraints together; the batch size decides whether a network can be trained."""
    counted: list[str] = []

    class Counting(Feasibility):
        def _counted(self, config: TrialConfig, names: Collection[str]) -> Mapping[str, float]:
            counted.append(config.model.model_dump_json())
            return dict.fromkeys(names, 200.0)

    space = replace(parse_space(SPACE, "my.yaml"), objectives={"accuracy": "maximize", "parameters": "minimize"})
    feasibility = Counting({"parameters": 700})
    sampler = front_sampler(space, 0, feasibility.sizes)
    params = {"model.depth": 1, "model.width": 4, "model.basis": "none"}
    values = [sampler._measure({**params, "optimizer.lr": lr}) for lr in (0.01, 0.02, 0.03)]
    config = space.sample(GivenSuggest({**params, "optimizer.lr": 0.04}, UnitSuggest({})))
    assert values == [[200.0]] * 3 and feasibility.excess(config) == {"parameters": -500.0} and len(counted) == 1
    feasibility.excess(config.model_copy(update={"data": config.data.model_copy(update={"batch_size": 1})}))
    assert len(counted) == 2


def test_sizes_are_those_of_the_networks_that_are_built() -> None:
    space = parse_space(SPACE, "my.yaml", ["constraints.parameters=100_000"])
    sampler = front_sampler(space, 0, Feasibility({}).sizes)
    params = {
        "model.depth": 2,
        "model.width": 6,
        "model.basis": "gram",
        "model.basis.gram.degree": 2,
        "optimizer.lr": 0.01,
    }
    document = {"depth": 2, "width": 6, "basis": {"name": "gram", "degree": 2}}
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": document, "epochs": 9})
    assert sampler._measure(params) == [measure(config, ["flops"])["flops"]]


@pytest.mark.parametrize(
    "objectives", [{"accuracy": "maximize"}, {"validation_loss": "minimize", "seconds": "minimize"}]
)
def test_objectives_of_which_none_is_known_are_searched(objectives: Any) -> None:
    space = replace(parse_space(SPACE, "my.yaml"), objectives=objectives, constraints={})
    study, _ = searched(space, 16)
    assert len({str(record.config) for record in study.records()}) == 16


def test_the_same_seed_searches_the_same() -> None:
    settings = SearchSettings(sampler="front", seed=3, trials=10**9)
    first, again = (simulate(NOISY, settings, 1500.0) for _ in range(2))
    assert [record.config for record in first.records] == [record.config for record in again.records]
    assert len(first.records) > 20


def test_candidates_of_a_space_follow_its_branches() -> None:
    space = replace(simulated_space(True), search=SearchSettings(sampler="front", startup_trials=3, random_share=0.0))
    study = MemoryStudy(space)
    search = AskTell(study, 1, lambda: False, lambda record: None, feasibility=NOISY.feasibility(True))
    for _ in range(25):
        assignment = search.ask()
        assert assignment is not None
        for each in NOISY.curve(assignment.config):
            if search.tell(assignment.number, [each]):
                break
    for trial in study.optuna_trials():
        basis, optimizer = trial.params["model.basis"], trial.params["optimizer"]
        assert ("model.basis.rbf.grid_size" in trial.params) == (basis == "rbf")
        assert ("optimizer.adamw.lr" in trial.params) == (optimizer == "adamw")
