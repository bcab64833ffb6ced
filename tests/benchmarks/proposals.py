"""What a proposal of the sampler `front` costs: CPU time on one core, after so many trials.

    python -m tests.benchmarks.proposals 500 10000          in a search of kansearch, sizes on torch's meta device
    python -m tests.benchmarks.proposals --plain 500 10000  in a plain Optuna study of ten hyperparameters

The trials before are random draws of the recorded space `fashion_mnist_front`, stopped early by halving as a search
does. Timed is the whole of `AskTell.ask`, random proposals left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kansearch.bench.recorded import RecordedProblem
from kansearch.bench.simulator import MemoryStudy
from kansearch.engine.ask_tell import AskTell
from kansearch.space import SearchSettings

_TIMED = 60
_WARM = 10


def searched(trials: int) -> Iterator[float]:
    """Milliseconds of each proposal of a search that has `trials` trials, after some to warm up."""
    problem = RecordedProblem("fashion_mnist")
    settings = SearchSettings(sampler="random", start="none", trials=10**9)
    study = MemoryStudy(replace(problem.space(True), search=settings))
    search = AskTell(study, 4, lambda: False, lambda record: None, feasibility=problem.feasibility(True))
    for _ in range(trials):
        _step(search, problem)
    front = settings.model_copy(update={"sampler": "front", "random_share": 0.0})
    study.__dict__["space"] = replace(study.space, search=front)
    search = AskTell(study, 4, lambda: False, lambda record: None)
    for _ in range(_WARM):
        _step(search, problem)
    for _ in range(_TIMED):
        yield _step(search, problem)


def _step(search: AskTell, problem: RecordedProblem) -> float:
    """One trial, until it ends."""
    before = time.process_time()
    assignment = search.ask()
    spent = time.process_time() - before
    assert assignment is not None
    for result in problem.curve(assignment.config, np.random.default_rng(assignment.number)):
        if search.tell(assignment.number, [result]):
            break
    return 1e3 * spent


def plain(trials: int) -> Iterator[float]:
    """The same of a study without kansearch's spaces, objective 1 known."""
    import optuna

    from kansearch.engine.front_sampler import FrontSampler

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = [f"x{place}" for place in range(10)]
    study = optuna.create_study(directions=["maximize", "minimize"])
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(0, 1) for name in names
    }
    rng = np.random.default_rng(0)
    for _ in range(trials):
        params = dict(zip(names, rng.random(10).tolist(), strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, values=_values(params)))
    study.sampler = FrontSampler(known=[1], measure=lambda params: [params["x0"]], random_share=0.0, seed=0)
    for place in range(_WARM + _TIMED):
        before = time.process_time()
        trial = study.ask(distributions)
        spent = time.process_time() - before
        study.tell(trial, _values(trial.params))
        if place >= _WARM:
            yield 1e3 * spent


def _values(params: dict[str, float]) -> list[float]:
    first, *others = params.values()
    return [first**0.3 - sum((each - 0.3) ** 2 for each in others), first]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="+", type=int)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    for trials in arguments.trials:
        spent = list((plain if arguments.plain else searched)(trials))
        median, most = np.percentile(spent, [50, 90])
        print(
            f"{trials:,} trials: {median:.0f} ms in the median of {len(spent)}, nine in ten below {most:.0f} ms, "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
