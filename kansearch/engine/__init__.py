"""The search itself, without Ray and without a clock: which configuration is next, and what is done with its results.

plan            what configurations of a space need and cost, before any is trained
proposer        Optuna's samplers; proposes a configuration; warm_start adds earlier results
ask_tell        hands out trials and commits their epochs
halving         stops weak trials at rungs; deterministic makes the order repeatable
budget          ends a search; feasibility, retries: configurations that can't be trained, workers that are lost
work            the face that `kansearch.cluster` runs: Assignment and Work
"""

__all__ = [
    "ask_tell",
    "budget",
    "deterministic",
    "feasibility",
    "front_search",
    "plan",
    "proposer",
    "retries",
    "stopping",
    "warm_start",
    "work",
]
